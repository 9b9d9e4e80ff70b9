"""`edged ensure`: nothing that is kept is called safe without a proof, and what should be under way is."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from edged.app.ensure import Progress, bar, ensure, lines
from edged.app.standing import reason
from edged.base.clock import SystemClock
from edged.model import State
from edged.outbox.store import open_outbox
from edged.receiver.app import serve
from edged.receiver.settings import ReceiverConfig
from tests.app.home import living, tables, toml, until
from tests.app.shop import KEY, proof_of
from tests.app.test_cli import Shell
from tests.record.stage import INCIDENT, OTHER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edged.app.world import World
    from edged.outbox.store import Outbox
    from tests.app.shop import Shop


def _silent(_result: dict[str, Any]) -> None:
    """Show no progress."""


async def alone(shop: Shop) -> dict[str, Any]:
    """Ask where no daemon runs."""
    return await ensure(shop.config(), wait=0.0, progress=_silent)


@asynccontextmanager
async def opened(shop: Shop) -> AsyncIterator[Outbox]:
    """The stopped device's outbox."""
    outbox = await open_outbox(shop.database, SystemClock())
    yield outbox
    await outbox.close()


async def prove_all(shop: Shop) -> None:
    """Have everything proven."""
    async with opened(shop) as outbox:
        for delivery in await outbox.deliveries(limit=99):
            await outbox.complete(delivery.id, proof_of(delivery))


async def test_what_is_not_proven_is_told(shop: Shop) -> None:
    """Where no daemon runs nothing is under way; what waits is named with its reason."""
    result = await alone(shop)
    assert not result["safe"]
    assert (result["files"], result["proven_files"], result["recording"], result["lost"]) == (5, 2, 0, 0)
    assert {row["path"].rsplit("/")[-1]: row["why"] for row in result["unproven"]} == {
        "part-001.mp4": "on its way to receiver",
        "snapshot-1.jpg": "on its way to receiver",
        "report.txt": "on its way to receiver",
    }
    told = list(lines(result))
    assert len(told) == 5
    assert "no edged runs here" in told[-2]
    assert told[-1].startswith("not everything is safe; what is: 2 files, ")


async def test_all_proven_is_safe(shop: Shop) -> None:
    """Only then."""
    await prove_all(shop)
    result = await alone(shop)
    assert result["safe"]
    assert list(lines(result)) == [f"everything is safe: 5 files, {result['proven_bytes'] / 1000:.1f} kB"]


async def test_what_was_missed_is_queued_and_what_was_refused_tried_again(shop: Shop) -> None:
    """A file without a delivery and a dead delivery go their way again."""
    shop.sql("DELETE FROM deliveries WHERE kind = 'clip' AND incident = ?", OTHER)
    shop.sql("UPDATE deliveries SET state = 'dead', last_error = 'too large' WHERE kind = 'document'")
    result = await alone(shop)
    assert {row["why"] for row in result["unproven"]} >= {"on its way to receiver"}
    assert shop.sql("SELECT count(*) FROM deliveries WHERE state = 'pending' AND kind IN ('clip', 'document')") == [
        (2,)
    ]


async def test_a_file_that_is_gone_is_not_passed_over(shop: Shop) -> None:
    """Though all that is left is proven, a loss was found: that is not safe."""
    await prove_all(shop)
    shop.sql("UPDATE deliveries SET proven = 0 WHERE kind = 'clip' AND incident = ?", OTHER)
    shop.part().unlink()
    result = await alone(shop)
    assert (result["safe"], result["lost"], result["unproven"]) == (False, 1, [])
    assert "1 files were found missing or changed" in "\n".join(lines(result))


async def test_what_a_crash_left_is_entered_first(shop: Shop) -> None:
    """A clip without a row is not overlooked."""
    await prove_all(shop)
    shop.sql("DELETE FROM deliveries WHERE kind = 'clip' AND incident = ?", OTHER)
    shop.sql("DELETE FROM files WHERE what = 'clip' AND incident = ?", OTHER)
    shop.sidecar().unlink()
    result = await alone(shop)
    assert [row["path"].rsplit("/")[-1] for row in result["unproven"]] == ["part-001.mp4"]


@pytest.mark.parametrize(
    ("state", "why", "hopeless"),
    [
        ("held", "waits for its release: edged outbox retry ", True),
        ("done", "receiver took it and proves nothing", True),
        ("pending", "on its way to receiver", False),
    ],
)
async def test_reasons(shop: Shop, state: str, why: str, hopeless: bool) -> None:
    """Each tells what would have to happen."""
    shop.sql("UPDATE deliveries SET state = ? WHERE kind = 'clip' AND incident = ?", state, OTHER)
    (row,) = [row for row in (await alone(shop))["unproven"] if row["path"].endswith(".mp4")]
    assert row["why"].startswith(why)
    assert row["hopeless"] is hopeless


async def test_a_refusal_is_told_with_its_reason(shop: Shop) -> None:
    """In the receiver's words."""
    shop.sql("UPDATE deliveries SET state = 'dead', last_error = 'too large' WHERE kind = 'clip'")
    async with opened(shop) as outbox:
        (clip,) = await outbox.clips_of(OTHER)
        assert reason(await outbox.deliveries_for(clip.id)) == ("refused by receiver: too large", True)


async def test_nowhere_to_send_to(shop: Shop) -> None:
    """A device without a receiver keeps everything, and safe elsewhere is nothing."""
    shop.sql("DELETE FROM deliveries WHERE kind != 'alert'")
    result = await ensure(shop.config(receiver={"url": "http://127.0.0.1:9"}), wait=0.0, progress=_silent)
    assert all(row["why"] == "on its way to receiver" for row in result["unproven"])
    assert reason(()) == (
        "there is nowhere to send it: the configuration names neither a [receiver] nor a folder",
        True,
    )


async def test_what_a_person_gave_up_is_a_note(shop: Shop) -> None:
    """It is in the ledger by that person's order, and keeps no check red for ever."""
    async with opened(shop) as outbox:
        for delivery in await outbox.deliveries((State.PENDING,), limit=99):
            if delivery.path is not None:
                assert await outbox.drop(delivery.id)
    result = await alone(shop)
    assert (result["safe"], result["given_up"], result["files"]) == (True, 3, 2)
    assert "note: 3 files were given up by a person" in "\n".join(lines(result))


async def test_a_folder_proves_nothing_where_there_is_a_receiver(shop: Shop) -> None:
    """The receiver's delivery decides."""
    async with opened(shop) as outbox:
        (clip,) = await outbox.clips_of(OTHER)
        (upload,) = await outbox.deliveries_for(clip.id)
    shop.sql(
        "INSERT INTO deliveries SELECT id + 1000, key || '.usb', kind, lane, priority, 'folder:usb', incident,"
        " subject, size, message, carrier, 'done', attempts, due, upload_url, sending, possibly_sent, last_error,"
        " receipt, 1, created_wall, created_mono, created_boot, created_synced, done_wall, done_mono, done_boot,"
        " done_synced FROM deliveries WHERE id = ?",
        upload.id,
    )
    assert [row["why"] for row in (await alone(shop))["unproven"] if row["path"].endswith(".mp4")] == [
        "on its way to receiver"
    ]


async def test_waiting_ends_when_all_is_proven(shop: Shop, tmp_path: Path) -> None:
    """With a daemon and a receiver everything gets its proof, and the bar moves from some to all."""
    home = tmp_path / "receiver"
    home.mkdir()
    config = ReceiverConfig(state=home, public_url="http://127.0.0.1:1", listen="127.0.0.1:0")
    async with serve(config) as serving:
        await serving.world.registry.add_device("shop", KEY, 0.0, replace=True)
        settings = shop.config(**receiver_at(shop, serving.port))
        async with living(settings):
            seen: list[dict[str, Any]] = []
            result = await ensure(settings, wait=40.0, progress=seen.append)
            assert result["safe"], result
            assert bar(result).startswith("[" + "#" * 30 + "] 5 of 5 files, ")
            assert (await ensure(settings, wait=0.0, progress=_silent))["safe"]


async def test_waiting_ends_when_nothing_can_come(shop: Shop) -> None:
    """What is held for a person does not come by waiting."""
    settings = shop.config(push={"upload": "manual"})
    async with living(settings) as world:
        await hold_everything(world, shop)
        result = await ensure(settings, wait=3600.0, progress=_silent)
    assert not result["safe"]
    assert all(row["hopeless"] for row in result["unproven"])


async def hold_everything(world: World, shop: Shop) -> None:
    """Hold all uploads back for a person's release."""

    async def none_pending() -> bool:
        await world.outbox.database.run(
            lambda tx: tx.execute("UPDATE deliveries SET state = 'held' WHERE kind != 'alert' AND state = 'pending'")
        )
        return not any(one.path for one in await world.outbox.deliveries((State.PENDING,), limit=99))

    await until(none_pending)


def receiver_at(shop: Shop, port: int) -> dict[str, Any]:
    """Return the section of the receiver on loopback."""
    secret = str(shop.state.parent / "key")
    return {"receiver": {"url": f"http://127.0.0.1:{port}", "device": "shop", "key": {"file": secret}}, "alerts": {}}


def test_the_bar() -> None:
    """By bytes, for one large clip is more than many small ones."""
    told = {"bytes": 4_000_000, "proven_bytes": 1_000_000, "files": 3, "proven_files": 2}
    assert bar(told) == "[#######.......................] 2 of 3 files, 1.0 MB of 4.0 MB proven"
    assert bar(told | {"bytes": 0, "proven_bytes": 0}).startswith("[" + "#" * 30)


class Terminal(io.StringIO):
    """A stream that people look at."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_progress() -> None:
    """One line that grows on a terminal, a line for each change elsewhere, nothing where none is asked for."""
    some = {"bytes": 4000, "proven_bytes": 1000, "files": 4, "proven_files": 1}
    more = some | {"proven_bytes": 2000, "proven_files": 2}
    shown = []
    for stream in (Terminal(), io.StringIO(), None):
        progress = Progress(stream)
        for result in (some, some, more):
            progress.show(result)
        progress.end()
        shown.append("" if stream is None else stream.getvalue())
    assert shown == [f"\r{bar(some)}\r{bar(more)}\n", f"{bar(some)}\n{bar(more)}\n", ""]


def test_the_commands(shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0 when all is well, 1 when not, 2 when it can't be told; JSON where asked."""
    path = tmp_path / "edged.toml"
    path.write_text(toml(tables(shop.state, receiver={"url": "http://127.0.0.1:9"})))
    shell = Shell(capsys)
    assert shell.run("ensure", "--json", "--config", path) == 1
    assert json.loads(shell.out)["safe"] is False
    assert shell.run("ensure", "--wait", "1s", "--config", path) == 1
    assert "part-001.mp4" in shell.out
    assert shell.run("fsck", "--config", path) == 0
    assert shell.out.endswith("examined: nothing is wrong\n")
    shop.sidecar(INCIDENT).unlink()
    assert shell.run("fsck", "--config", path) == 1
    assert shell.run("fsck", "--repair", "--config", path) == 1
    assert " -> done: " in shell.out
    assert shell.run("fsck", "--repair", "--config", path) == 0
    shop.sql("PRAGMA user_version = 99")
    assert shell.run("fsck", "--config", path) == 2
    assert "newer edged" in shell.err


def events(shell: Shell) -> list[dict[str, Any]]:
    """Return what the command told the log of the result, without the sweep's own events."""
    told = [json.loads(line) for line in shell.err.splitlines()]
    ours = {"everything is safe", "not everything is safe yet", "files lost", "needs a person"}
    return [event for event in told if event["event"] in ours]


def test_the_timer_tells_the_log(shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What comes by itself is one event, what needs a person one for each reason, and a warning."""
    path = tmp_path / "edged.toml"
    path.write_text(toml(tables(shop.state, receiver={"url": "http://127.0.0.1:9"}, log={"style": "json"})))
    shell = Shell(capsys)
    assert shell.run("ensure", "--log", "--config", path) == 1
    (event,) = events(shell)
    told = {name: event[name] for name in ("event", "level", "proven_files", "coming_files", "running")}
    assert told == {
        "event": "not everything is safe yet",
        "level": "info",
        "proven_files": 2,
        "coming_files": 3,
        "running": False,
    }
    shop.sql("UPDATE deliveries SET state = 'held' WHERE kind IN ('clip', 'snapshot') AND state = 'pending'")
    shop.document().unlink()
    assert shell.run("ensure", "--log", "--config", path) == 1
    first, lost, held = events(shell)
    assert (first["coming_files"], lost["event"], lost["files"], lost["level"]) == (0, "files lost", 1, "error")
    assert (held["event"], held["level"], held["files"]) == ("needs a person", "warning", 2)
    assert held["why"].startswith("waits for its release: edged outbox retry ")
    shop.sql("UPDATE deliveries SET state = 'pending' WHERE state = 'held'")
    asyncio.run(prove_all(shop))
    assert shell.run("ensure", "--log", "--config", path) == 0
    (safe,) = events(shell)
    assert (safe["event"], safe["level"], safe["files"]) == ("everything is safe", "info", 4)
    assert shell.out == ""
