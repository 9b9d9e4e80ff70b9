"""A real RTSP server for tests, run by the system's Python: rtsp_server.py PORT CODEC FILE [USER PASSWORD].

It serves the MP4 file FILE (CODEC h264 or h265) at rtsp://127.0.0.1:PORT/cam, from its beginning for each new
session, and prints "ready" when it listens. It needs the packages of scripts/debian-test-packages.
"""

from __future__ import annotations

import sys

import gi  # type: ignore[import-not-found] # the system's Python has it

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found] # noqa: E402


def main(port: str, codec: str, file: str, *login: str) -> None:
    """Serve until killed."""
    Gst.init(None)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f'( filesrc location="{file}" ! qtdemux ! {codec}parse ! rtp{codec}pay name=pay0 pt=96 )')
    if login:
        _require(server, factory, *login)
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)
    print("ready", flush=True)  # noqa: T201 -- the test waits for it
    GLib.MainLoop().run()


def _require(
    server: GstRtspServer.RTSPServer, factory: GstRtspServer.RTSPMediaFactory, user: str, password: str
) -> None:
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "user")
    auth = GstRtspServer.RTSPAuth()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    structure = Gst.Structure.new_empty("user")
    structure.set_value("media.factory.access", True)
    structure.set_value("media.factory.construct", True)
    factory.add_role_from_structure(structure)


if __name__ == "__main__":
    main(*sys.argv[1:])
