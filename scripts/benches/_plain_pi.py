"""What `rpicam-vid` does, by picamera2 alone: one camera, its libav encoder, a file. Runs until it is ended.

python -m scripts.benches._plain_pi FILE RATE BITRATE KEYFRAMES [LORES_WIDTH LORES_HEIGHT]
"""

from __future__ import annotations

import importlib
import sys
import threading


def main(target: str, rate: str, bitrate: str, keyframes: str, *lores: str) -> None:
    """Record the first camera in 1080p; with a size, have the ISP make the small stream, too."""
    importlib.import_module("virtual_pi")  # makes picamera2 work on this machine; it lies beside picamera2
    picamera2 = importlib.import_module("picamera2")
    encoders = importlib.import_module("picamera2.encoders")
    outputs = importlib.import_module("picamera2.outputs")
    camera = picamera2.Picamera2(0)
    duration = round(1e6 / float(rate))
    camera.configure(
        camera.create_video_configuration(
            main={"size": (1920, 1080), "format": "YUV420"},
            lores={"size": tuple(map(int, lores)), "format": "YUV420"} if lores else None,
            controls={"FrameDurationLimits": (duration, duration)},
        )
    )
    encoder = encoders.LibavH264Encoder(
        bitrate=int(bitrate), iperiod=round(float(rate) * float(keyframes)), framerate=round(float(rate))
    )
    camera.start()
    camera.start_encoder(encoder, outputs.FileOutput(target), name="main")
    print("recording", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
