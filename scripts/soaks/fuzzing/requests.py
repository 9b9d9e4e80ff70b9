"""Requests to edged's HTTP ports: good ones to be spoiled, and made-up ones with strange but well-formed parts."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edged.wire import heartbeat, manifest, signing, tus
from scripts.soaks.fuzzing.mutate import garbage, mutated

if TYPE_CHECKING:
    from random import Random

_METHODS = (*("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"), "TRACE", "CONNECT", "get", "A" * 40)
_RECEIVER = (
    *("/", "/login", "/logout", "/probe", "/heartbeat", "/files", "/files/{}", "/receipts/{}", "/clips/{}"),
    *("/devices/{}", "/incidents/{}/{}", "/media/{}", "/i/{}/{}?until=1&signature={}", "/static/{}", "/?before={}"),
    *("/login?next={}", "//{}", "http://{}/", "*"),
)
_DEVICE = (
    *("/", "/health", "/metrics", "/events?incident={}", "/incidents/{}", "/pictures/{}.jpg", "/static/{}"),
    *("/media/clip/{}.mp4", "/media/snapshot/{}.jpg", "/media/{}/{}", "//{}", "http://{}/"),
)
_NAMES = (
    *(b"..", b"%2e%2e%2f%2e%2e%2fetc%2fpasswd", b"%00", b"%ff", b"\xff\xfe", b"%ed%a0%80", b"a" * 4000, b"-", b"."),
    *(b"x", b"soak", b"cam1", b"1e999", b"nan", b"-1", b"%0d%0aX:%20y", b"con", b"\xd9\xa3", b"edged.css"),
)
_HEADERS = (
    *("Cookie", "Accept", "Authorization", "Range", "If-Range", "If-Modified-Since", "If-Unmodified-Since", "If-Match"),
    *("If-None-Match", "Content-Type", "Content-Length", "Transfer-Encoding", "Content-Encoding", "Expect", "Upgrade"),
    *("Connection", "Host", "X-Forwarded-For", "X-HTTP-Method-Override", "Upload-Offset", "Upload-Length", "Origin"),
    *("Upload-Metadata", "Upload-Defer-Length", "Upload-Concat", "Upload-Checksum", "Tus-Resumable", "Last-Event-ID"),
)
_VALUES = (
    *(b"", b"0", b"-1", b"9" * 19, b"9" * 500, b"\xff", b"bytes=0-0", b"bytes=-", b"bytes=9-1", b"bytes=0-1,2-3"),
    *(b"Mon, 01 Jan 99999999999999 00:00:00 GMT", b"Thu, 01 Jan 1970 00:00:00 GMT", b'"', b'W/"x", *', b"chunked"),
    *(b"gzip", b"100-continue", b"websocket", b"close", b"keep-alive, upgrade", b"text/html", b"PATCH", b"1.0.0"),
    *(
        b"Bearer x",
        b"Bearer \xff",
        b"Edged device=soak,time=1,signature=" + b"0" * 64,
        b"edged_form=\xff; edged_session=a:1:b",
    ),
    *(b"a YQ==,a YQ==", b"manifest ////", b"application/offset+octet-stream", b"multipart/form-data; boundary=\xff"),
    *(b"a" * 9000, b"x\r\n folded", b"\x0b", b"[::1", b"evil.example"),
)


@dataclass(kw_only=True)
class Impostor:
    """A device whose key the receiver knows, and who means no good."""

    name: str
    key: str
    rng: Random

    def request(self, method: str, target: str, headers: dict[str, str], body: bytes, *, stream: bool = False) -> bytes:
        """Return a request that is signed as it should be."""
        authorization = signing.sign_request(
            key=self.key,
            device=self.name,
            method=method,
            target=target,
            time=time.time(),
            headers=headers,
            body=None if stream else body,
        )
        length = {"Content-Length": str(len(body))} if body or method in {"POST", "PATCH"} else {}
        fields = {"Host": "hq", **headers, **length, "Authorization": authorization}
        head = "\r\n".join([f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())])
        return head.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body

    def creation(self, body: bytes, **told: object) -> bytes:
        """Return a good creation of an upload of `body`."""
        fields: dict[str, object] = {
            "key": self.rng.randbytes(8).hex(),
            "kind": "document",
            "name": "note.txt",
            "content_type": "text/plain",
            "size": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            **told,
        }
        metadata = manifest.to_metadata(manifest.Manifest(**fields))  # type: ignore[arg-type]
        headers = {tus.RESUMABLE: tus.VERSION, tus.LENGTH: str(len(body)), tus.METADATA: metadata}
        return self.request("POST", "/files", headers, b"")

    def patch(self, location: str, offset: str, body: bytes) -> bytes:
        """Return a PATCH with a signature that holds, whatever `offset` is."""
        headers = {tus.RESUMABLE: tus.VERSION, tus.OFFSET: offset, "Content-Type": tus.CONTENT_TYPE}
        return self.request("PATCH", location, headers, body, stream=True)

    def removal(self, location: str) -> bytes:
        """Return the DELETE of an upload."""
        return self.request("DELETE", location, {tus.RESUMABLE: tus.VERSION}, b"")

    def signed_nonsense(self) -> bytes:
        """Return a request whose signature holds and whose content does not."""
        rng = self.rng
        match rng.randrange(4):
            case 0:  # a manifest that was spoiled before it was encoded
                raw = msg(rng)
                metadata = f"manifest {base64.b64encode(mutated(rng, raw)[:4000]).decode()}"
                length = rng.choice(("5", "0", "-1", str(rng.getrandbits(60))))
                return self.request(
                    "POST", "/files", {tus.RESUMABLE: "1.0.0", tus.LENGTH: length, tus.METADATA: metadata}, b""
                )
            case 1:  # a heartbeat
                return self.request("POST", heartbeat.PATH, {}, mutated(rng, _beat(rng))[:30_000])
            case 2:
                offset = _text(rng.choice(_VALUES))
                return self.patch(f"/files/{rng.randbytes(16).hex()}", offset, garbage(rng))
            case _:
                target = _filled(rng, rng.choice(_RECEIVER)).decode("latin-1").encode("ascii", "ignore").decode()
                return self.request(rng.choice(_METHODS), target or "/", {}, garbage(rng, 50))


def made_up(rng: Random, *, of_device: bool) -> bytes:
    """Return a request put together of parts that are strange each by itself."""
    target = _filled(rng, rng.choice(_DEVICE if of_device else _RECEIVER))
    lines = [rng.choice(_METHODS).encode() + b" " + target + b" HTTP/1.1", b"Host: localhost"]
    lines += [
        rng.choice(_HEADERS).encode() + b": " + rng.choice(_VALUES) for _ in range(rng.choice((0, 1, 2, 3, 5, 200)))
    ]
    body = rng.choice((b"", b"", garbage(rng), b"5\r\nhello\r\n0\r\n\r\n", b"fffffffffffffffff\r\n", b"-1\r\n"))
    return b"\r\n".join([*lines, b"", b""]) + body


def good(rng: Random, impostor: Impostor | None) -> bytes:
    """Return a request that would be served, to be spoiled; of the receiver with an `impostor`, else of a device."""
    if impostor is None:
        target = rng.choice(("/", "/health", "/metrics", "/incidents/x", "/media/clip/x.mp4", "/pictures/cam1.jpg"))
        return f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nRange: bytes=0-9\r\n\r\n".encode()
    body = rng.randbytes(rng.randrange(1, 300))
    match rng.randrange(5):
        case 0:
            return impostor.creation(body)
        case 1:
            return impostor.request("POST", heartbeat.PATH, {}, _beat(rng))
        case 2:
            return impostor.patch(f"/files/{rng.randbytes(16).hex()}", "0", body)
        case 3:
            form = b"name=ann&password=x&token=" + rng.randbytes(32).hex().encode()
            head = b"POST /login HTTP/1.1\r\nHost: hq\r\nCookie: edged_form=abc; edged_session=ann:1:%b\r\n" % (
                b"0" * 64
            )
            return head + b"Content-Length: %d\r\n\r\n" % len(form) + form
        case _:
            return impostor.request("GET", rng.choice(("/probe", "/receipts/x", "/clips/x")), {}, b"")


def msg(rng: Random) -> bytes:
    """Return a good manifest as JSON."""
    told = manifest.Manifest(
        key=rng.randbytes(8).hex(),
        kind="snapshot",
        name="s.jpg",
        content_type="image/jpeg",
        size=5,
        sha256=hashlib.sha256(b"hello").hexdigest(),
        incident=rng.randbytes(8).hex(),
        camera="door",
        start=1.8e9,
        opened=1.8e9,
        closed=1.8e9,
        cause="motion",
        zones=("a", "b"),
        continues="x",
    )
    return manifest.to_json(told)


def _beat(rng: Random) -> bytes:
    gaps = [heartbeat.GapReport(camera="door", start=1.8e9, end=rng.choice((None, 1.8e9)), reason="unplugged")]
    cameras = (heartbeat.CameraReport(name="door", well=False, text="dark"),)
    beat = heartbeat.Heartbeat(
        version="1", time=1.8e9, synced=True, boot="b", sequence=rng.getrandbits(20), cameras=cameras, timezone="UTC"
    )
    return heartbeat.pack(beat, gaps)[0]


def _filled(rng: Random, target: str) -> bytes:
    parts = target.encode().split(b"{}")
    filled = parts[0]
    for part in parts[1:]:
        filled += (
            rng.choice((*_NAMES, garbage(rng, 30).replace(b" ", b"").replace(b"\r", b"").replace(b"\n", b""))) + part
        )
    return filled


def _text(value: bytes) -> str:
    return value.decode("latin-1").replace("\r\n", " ").encode("ascii", "ignore").decode()
