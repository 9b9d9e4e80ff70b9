"""What all pages share: headers, static files, media, words for sizes and times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import jinja2
import pytest
from aiohttp import web

from edged.base.pages import pages
from edged.base.pages.pages import Assets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CLIP = bytes(range(256)) * 16


@pytest.fixture
async def root(tmp_path: Path) -> AsyncIterator[str]:
    """A small site: a page, a file, an error, the static files; its address."""
    (tmp_path / "own.css").write_text("p { margin: 0 }")
    (tmp_path / "clip.mp4").write_bytes(CLIP)
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "page.html").write_text('{% extends "layout.html" %}{% block main %}<p>{{ text }}</p>{% endblock %}')
    assets = Assets(tmp_path)
    made = pages.environment(templates, assets)

    async def page(request: web.Request) -> web.Response:
        return pages.html(made, "page.html", text=request.query.get("text", ""))

    async def file(request: web.Request) -> web.FileResponse:
        return pages.media(tmp_path / request.match_info["name"], "video/mp4", download=request.query.get("save"))

    async def fault(request: web.Request) -> web.Response:
        raise ValueError("the inside of the server")

    app = web.Application()
    pages.harden(app)
    assets.add_to(app)
    app.router.add_get("/", page)
    app.router.add_get("/media/{name}", file)
    app.router.add_get("/fault", fault)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("path", ["/", "/media/clip.mp4", "/media/none.mp4", "/fault", "/nowhere", "/static/edged.css"])
async def test_every_answer_is_hardened(root: str, path: str) -> None:
    """Pages, files and errors alike carry the policy: nothing inline, nothing from elsewhere, no framing."""
    async with aiohttp.ClientSession() as session, session.get(root + path) as answer:
        assert pages.SECURITY_HEADERS.items() <= dict(answer.headers).items()
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "the inside" not in await answer.text(errors="replace")


async def test_what_slips_into_a_page_is_text(root: str) -> None:
    """Markup in a value is escaped, and the page is kept by no cache."""
    evil = {"text": '<script>alert("1")</script>'}
    async with aiohttp.ClientSession() as session, session.get(root, params=evil) as answer:
        text = await answer.text()
        assert answer.headers["Cache-Control"] == "no-store"
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;" in text


def test_a_misspelt_name_in_a_template_is_an_error(tmp_path: Path) -> None:
    """A template can't show nothing where something was meant."""
    (tmp_path / "page.html").write_text("{{ camrea }}")
    made = pages.environment(tmp_path, Assets())
    with pytest.raises(jinja2.UndefinedError, match="camrea"):
        made.get_template("page.html").render(camera=1)


async def test_static_files_are_kept_for_ever_under_their_digest(root: str, tmp_path: Path) -> None:
    """The address in a page is immutable; without the digest a browser has to ask, and is told 304."""
    url = Assets(tmp_path).url("own.css")
    async with aiohttp.ClientSession() as session:
        async with session.get(root + url) as answer:
            assert (answer.status, answer.content_type) == (200, "text/css")
            assert "immutable" in answer.headers["Cache-Control"]
            tag = answer.headers["ETag"]
        async with session.get(f"{root}/static/own.css?v=old") as answer:
            assert answer.headers["Cache-Control"] == "no-cache"
        async with session.get(f"{root}/static/own.css", headers={"If-None-Match": tag}) as answer:
            assert answer.status == 304
        async with session.get(f"{root}/static/own.css", headers={"If-None-Match": '"other"'}) as answer:
            assert await answer.text() == "p { margin: 0 }"
        async with session.get(f"{root}/static/..%2Fclip.txt") as answer:
            assert answer.status == 404


def test_the_version_follows_the_content(tmp_path: Path) -> None:
    """A changed file changes its address and the version by which open pages learn of it."""
    (tmp_path / "own.css").write_text("a")
    before = Assets(tmp_path)
    (tmp_path / "own.css").write_text("b")
    after = Assets(tmp_path)
    assert before.url("own.css") != after.url("own.css")
    assert before.version != after.version
    assert before.version == Assets(tmp_path).version or after.version == Assets(tmp_path).version
    with pytest.raises(KeyError):
        before.url("none.css")


async def test_media_can_be_sought_in(root: str) -> None:
    """A range is answered by that range, one past the end is refused, a missing file is not found."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{root}/media/clip.mp4", headers={"Range": "bytes=100-299"}) as answer:
            assert (answer.status, answer.content_type) == (206, "video/mp4")
            assert await answer.read() == CLIP[100:300]
        async with session.get(f"{root}/media/clip.mp4", headers={"Range": "bytes=99999-"}) as answer:
            assert answer.status == 416
        async with session.get(f"{root}/media/none.mp4") as answer:
            assert answer.status == 404


async def test_a_download_has_a_harmless_name(root: str) -> None:
    """Quotes, slashes and line breaks can't leave the header's file name."""
    url, evil = f"{root}/media/clip.mp4", {"save": 'a"b/../\r\nc.mp4'}
    async with aiohttp.ClientSession() as session, session.get(url, params=evil) as answer:
        assert answer.headers["Content-Disposition"] == 'attachment; filename="a_b_..___c.mp4"'


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (3_400_000, "3.4 MB"),
        (64e9, "64.0 GB"),
        (1e15, "1000.0 TB"),
    ],
)
def test_sizes(count: float, text: str) -> None:
    """Sizes in three digits."""
    assert pages.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (7800, "2 h 10 min"),
        (47 * 3600, "47 h"),
        (49 * 3600, "2 days"),
    ],
)
def test_lengths_of_time(seconds: float, text: str) -> None:
    """The longer, the coarser."""
    assert pages.duration(seconds) == text
