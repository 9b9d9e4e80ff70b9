"""Uploads end to end over HTTP: resumed at the byte, proven by a receipt, once by key."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from edged.receiver.app import Serving, serve
from edged.wire import receipt
from edged.wire.receipt import Proof
from tests.receiver.client import manifest_of
from tests.receiver.conftest import known_device

if TYPE_CHECKING:
    from pathlib import Path

    from edged.receiver.settings import ReceiverConfig
    from tests.receiver.client import Device

DATA = os.urandom(300_000)


def stored(config: ReceiverConfig) -> dict[str, bytes]:
    """Return every blob by its name."""
    return {path.name: path.read_bytes() for path in (config.state / "blobs").glob("??/*")}


def partial(config: ReceiverConfig) -> list[Path]:
    """Return the files of unfinished uploads."""
    return list((config.state / "partial").iterdir())


async def test_a_file_arrives_and_is_proven(config: ReceiverConfig, shop: Device) -> None:
    """The receipt carries size and digest, is signed with the device's key, and the very bytes are stored."""
    told = manifest_of(DATA)
    proof = await shop.upload(DATA, told)
    assert receipt.verify(proof, shop.key)
    assert (proof.key, proof.size, proof.sha256) == (told.key, len(DATA), told.sha256)
    assert (proof.proof, proof.receiver) == (Proof.SIGNED, "hq")
    assert stored(config) == {told.sha256: DATA}
    assert partial(config) == []


async def test_the_receipt_can_be_fetched_again(shop: Device, shed: Device) -> None:
    """By its owner, as often as it likes; by nobody else."""
    told = manifest_of(DATA)
    await shop.upload(DATA, told)
    for _ in range(2):
        answer = await shop.request("GET", f"/receipts/{told.key}")
        assert receipt.verify(receipt.from_json(answer.body), shop.key)
    assert (await shed.request("GET", f"/receipts/{told.key}")).status == 404
    assert (await shop.request("GET", "/receipts/unknown")).status == 404


async def test_an_upload_goes_on_at_the_byte(shop: Device) -> None:
    """Slices add up, HEAD tells where it stands, and an offset that is not there is refused."""
    created = await shop.create(manifest_of(DATA))
    location = created.headers["Location"]
    assert created.offset == 0
    assert (await shop.patch(location, 0, DATA[:1000])).offset == 1000
    assert (await shop.patch(location, 0, DATA[:1000])).status == 409
    assert (await shop.head(location)).offset == 1000
    done = await shop.patch(location, 1000, DATA[1000:])
    assert receipt.verify(receipt.from_header(done.headers[receipt.HEADER]), shop.key)


async def test_creating_again_finds_the_upload(shop: Device) -> None:
    """A creation whose answer was lost is repeated and leads to the same place, begun or finished."""
    told = manifest_of(DATA)
    first = await shop.create(told)
    await shop.patch(first.headers["Location"], 0, DATA[:5])
    second = await shop.create(told)
    assert (second.status, second.headers["Location"], second.offset) == (201, first.headers["Location"], 5)
    await shop.patch(first.headers["Location"], 5, DATA[5:])
    third = await shop.create(told)
    assert (third.status, third.headers["Location"], third.offset) == (201, first.headers["Location"], len(DATA))
    assert receipt.verify(receipt.from_header(third.headers[receipt.HEADER]), shop.key)


async def test_a_key_names_one_content(shop: Device) -> None:
    """The same key with other bytes is refused, begun or finished."""
    told = manifest_of(b"one")
    created = await shop.create(told)
    other = manifest_of(b"two", key=told.key)
    assert (await shop.create(other)).status == 409
    await shop.patch(created.headers["Location"], 0, b"one")
    assert (await shop.create(other)).status == 409


async def test_equal_bytes_stay_two_files(
    config: ReceiverConfig, receiver: Serving, shop: Device, shed: Device
) -> None:
    """The content is stored once, yet each key has its own file and receipt."""
    told = [manifest_of(DATA) for _ in range(3)]
    proofs = [await shop.upload(DATA, told[0]), await shop.upload(DATA, told[1]), await shed.upload(DATA, told[2])]
    assert [proof.key for proof in proofs] == [one.key for one in told]
    assert len(stored(config)) == 1
    files = [
        await receiver.world.store.file("shop", key=told[0].key),
        await receiver.world.store.file("shop", key=told[1].key),
    ]
    for file in files:
        assert file is not None
        await receiver.world.uploads.drop(file)
        assert len(stored(config)) == 1  # another file still needs it
    last = await receiver.world.store.file("shed", key=told[2].key)
    assert last is not None
    await receiver.world.uploads.drop(last)
    assert stored(config) == {}


async def test_two_devices_may_use_the_same_key(shop: Device, shed: Device) -> None:
    """A key is its owner's: nobody can squat another's."""
    first, second = manifest_of(b"one", key="k"), manifest_of(b"two", key="k")
    assert (await shop.upload(b"one", first)).sha256 == first.sha256
    assert (await shed.upload(b"two", second)).sha256 == second.sha256


async def test_finishing_twice_is_one_file(config: ReceiverConfig, shop: Device) -> None:
    """The last PATCH repeated, because its answer was lost, changes nothing and brings the receipt again."""
    created = await shop.create(manifest_of(DATA))
    location = created.headers["Location"]
    await shop.patch(location, 0, DATA)
    again = await shop.patch(location, len(DATA), b"")
    assert again.status == 204
    assert receipt.verify(receipt.from_header(again.headers[receipt.HEADER]), shop.key)
    assert (await shop.patch(location, 0, DATA)).status == 409
    assert len(stored(config)) == 1


async def test_wrong_content_is_thrown_away(config: ReceiverConfig, shop: Device) -> None:
    """Bytes that are not what the manifest announced: the device is told to start anew, and may."""
    told = manifest_of(DATA)
    created = await shop.create(told)
    refused = await shop.patch(created.headers["Location"], 0, b"x" + DATA[1:])
    assert refused.status == 410
    assert b'"content"' in refused.body
    assert (await shop.head(created.headers["Location"])).status == 410
    assert partial(config) == []
    assert (await shop.upload(DATA, told)).sha256 == told.sha256


async def test_an_empty_file_arrives(config: ReceiverConfig, shop: Device) -> None:
    """Nothing is a content too: it is whole as soon as it is created."""
    created = await shop.create(manifest_of(b""))
    assert receipt.from_header(created.headers[receipt.HEADER]).size == 0
    assert list(stored(config)) == [hashlib.sha256().hexdigest()]


async def test_termination(config: ReceiverConfig, shop: Device) -> None:
    """A begun upload can be ended; a finished one can't be taken back."""
    created = await shop.create(manifest_of(DATA))
    location = created.headers["Location"]
    await shop.patch(location, 0, DATA[:10])
    headers = {"Tus-Resumable": "1.0.0"}
    assert (await shop.request("DELETE", location, headers)).status == 204
    assert (await shop.head(location)).status == 410
    assert partial(config) == []
    finished = await shop.create(manifest_of(b""))
    assert (await shop.request("DELETE", finished.headers["Location"], headers)).status == 403


async def test_a_restart_keeps_every_byte(config: ReceiverConfig) -> None:
    """After a restart the upload goes on where it stood, and its hash comes out right."""
    told = manifest_of(DATA)
    async with serve(config) as serving, await known_device(serving, "shop") as shop:
        location = (await shop.create(told)).headers["Location"]
        await shop.patch(location, 0, DATA[:123_456])
        key = shop.key
    async with serve(config) as serving, await known_device(serving, "shop") as shop:
        assert shop.key != key  # a new key in the meantime changes nothing
        assert (await shop.head(location)).offset == 123_456
        done = await shop.patch(location, 123_456, DATA[123_456:])
        assert receipt.from_header(done.headers[receipt.HEADER]).sha256 == told.sha256


async def test_the_disk_is_the_truth(config: ReceiverConfig, shop: Device) -> None:
    """Whatever the running hash remembers: a file that came back shorter or longer is hashed as it is."""
    told = manifest_of(DATA)
    location = (await shop.create(told)).headers["Location"]
    file = config.state / location.replace("/files/", "partial/")
    await shop.patch(location, 0, DATA[:2000])
    os.truncate(file, 1000)
    assert (await shop.head(location)).offset == 1000
    await shop.patch(location, 1000, DATA[1000:3000])
    file.write_bytes(DATA)
    done = await shop.head(location)
    assert receipt.from_header(done.headers[receipt.HEADER]).sha256 == told.sha256


async def test_a_whole_upload_is_finished_at_the_start(config: ReceiverConfig) -> None:
    """A receiver that died between the last byte and the row finishes by itself, and sweeps what nobody knows."""
    told = manifest_of(DATA)
    async with serve(config) as serving, await known_device(serving, "shop") as shop:
        location = (await shop.create(told)).headers["Location"]
    (config.state / location.replace("/files/", "partial/")).write_bytes(DATA)
    (config.state / "partial" / "stray").write_bytes(b"x")
    (config.state / "blobs" / "ab").mkdir()
    (config.state / "blobs" / "ab" / "stray").write_bytes(b"x")
    async with serve(config) as serving:
        file = await serving.world.store.file("shop", key=told.key)
        assert file is not None
        assert stored(config) == {told.sha256: DATA}
        assert partial(config) == []


async def test_an_upload_that_can_t_be_read_keeps_no_other_waiting(config: ReceiverConfig) -> None:
    """Where the disk refuses one upload at the start, it is left as it is and the receiver serves all others."""
    damaged, whole = manifest_of(b"damaged"), manifest_of(DATA)
    async with serve(config) as serving, await known_device(serving, "shop") as shop:
        for told in (damaged, whole):
            location = (await shop.create(told)).headers["Location"]
            path = config.state / location.replace("/files/", "partial/")
            path.write_bytes(DATA)
            if told is damaged:
                path.unlink()
                path.mkdir()  # opens and has a length, and can't be read
    async with serve(config) as serving:
        assert await serving.world.store.file("shop", key=whole.key) is not None
        assert [upload.manifest.key for upload in await serving.world.store.uploads()] == [damaged.key]


async def test_incidents_are_known_by_their_files(receiver: Serving, shop: Device) -> None:
    """Parts and snapshots arrive in any order, and the incident's row grows by each."""
    first = manifest_of(b"1", incident="i", camera="door", part=1, opened=5.0, zones=("yard",), cause="motion")
    last = replace(
        manifest_of(b"2"),
        incident="i",
        camera="door",
        part=2,
        final=True,
        closed=9.0,
        opened=5.0,
        zones=("yard", "gate"),
    )
    picture = manifest_of(b"3", kind="snapshot", incident="i", camera="door", opened=5.0, content_type="image/jpeg")
    for data, told in ((b"2", last), (b"3", picture), (b"1", first)):
        await shop.upload(data, told)
    incident = await receiver.world.store.incident("shop", "i")
    assert incident is not None
    assert (incident.zones, incident.closed, incident.parts, incident.opened) == (("yard", "gate"), 9.0, 2, 5.0)
    ((_, files),) = await receiver.world.store.with_files([incident])
    assert [(file.kind, file.part) for file in files] == [
        ("clip", 1),
        ("clip", 2),
        ("snapshot", 0),
    ]
