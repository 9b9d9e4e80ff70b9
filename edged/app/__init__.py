"""The composition root: builds the world, holds the table of tasks, wires the stages, stops in order."""
