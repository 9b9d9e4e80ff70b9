"""The figures that `./scripts/bench` prints: each module here but `figure` measures one part."""
