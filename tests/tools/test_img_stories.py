"""What backcheck-img makes of images, beside the real qemu-img: the same story told to both ends with the same images.

Each story runs in two folders of its own. Every answer must be the same, and at the end each image must hold the same
content, be consistent, and have the same map, all in the eyes of the real qemu-img.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.tools.programs import Bundled, Real

LAYERS = """
    img create -q -f qcow2 base 4M
    io -f qcow2 -c "write -q -P 1 0 192k" -c "write -q -P 2 1M 128k" base
    img create -q -f qcow2 -b base -F qcow2 middle
    io -f qcow2 -c "write -q -P 5 64k 64k" middle
    img create -q -f qcow2 -b middle -F qcow2 top 6M
    io -f qcow2 -c "write -q -P 6 128k 64k" -c "write -q -z 1M 64k" -c "write -q -P 9 5M 64k" top
"""
STORIES = {
    "create": """
        img create -f qcow2 plain 4M
        img create -f qcow2 -o cluster_size=4k,refcount_bits=64,lazy_refcounts=on,size=3M options
        img create -f qcow2 -o compat=0.10 old 1536k
        img create -f qcow2 -o extended_l2=on,compression_type=zlib subclusters 10M
        img create -f qcow2 -o preallocation=metadata preallocated 1M
        img create -f qcow2 -b plain -F qcow2 overlay
        img create -f qcow2 -b plain -F qcow2 larger 8M
        img create -f qcow2 -u -b missing -F qcow2 orphan 1M
        img create -f qcow2 -o data_file=data,data_file_raw=on external 1M
        img create -f raw raw 1000
        img create raw2 0x1000
    """,
    "data files": """
        img create -q -f qcow2 -o data_file=raw,data_file_raw=on external 1000448
        img info external
        img info --output=json external
        img info --image-opts driver=qcow2,file.filename=external,data-file.filename=raw
        io -f qcow2 -c "write -q -P 1 900k 70k" external
        img resize external 2000384
        img resize --preallocation=falloc external 3000320
        img resize --shrink external 500224
        img create -q -f qcow2 -o data_file=data,cluster_size=4k plain 1000448
        img resize --preallocation=metadata plain 1000960
        img resize --preallocation=metadata plain 1001472
        img resize plain 2000384
        img resize --preallocation=full plain 3000320
        img create -q -f qcow2 -o data_file=subdata,data_file_raw=on,extended_l2=on,preallocation=metadata sub 1000448
        img create -q -f qcow2 -o data_file=moved lost 1M
        io -f qcow2 -c "write -q -P 1 128k 128k" lost
        img info --image-opts driver=raw,file.driver=qcow2,file.file.filename=lost
        img info --image-opts driver=qcow2,file.filename=lost,data-file.filename=missing
    """,
    "convert": LAYERS
    + """
        img convert -O qcow2 top flat
        img convert -O raw top raw
        img convert -f raw -O qcow2 raw again
        img convert -c -O qcow2 top compressed
        img convert -c -S 0 -O qcow2 base dense
        img convert -S 0 -O qcow2 base dense2
        img convert -B base -F qcow2 -O qcow2 middle overlay
        img convert -O qcow2 -o compat=0.10,cluster_size=4k top small
        img convert -O qcow2 -o extended_l2=on,cluster_size=128k top subclusters
        img convert base middle -O raw joined
        img convert -W -m 4 -O raw top unordered
        img create -q -f qcow2 full 6M
        io -f qcow2 -c "write -q -P 7 0 6M" full
        img convert -n -O qcow2 top full
        img convert -n --target-image-opts top driver=qcow2,file.filename=full
        img create -q -f raw odd 100
        img convert -f raw -O qcow2 odd rounded
    """,
    "resize": """
        img create -q -f qcow2 image 4M
        io -f qcow2 -c "write -q -P 1 0 192k" -c "write -q -P 2 3M 128k" image
        img resize image 8M
        img resize image +1M
        img resize image -1M
        img resize --shrink image -1M
        img resize -q image +512k
        img resize --preallocation=metadata image 10M
        img resize --shrink --preallocation=falloc image 3M
        img resize --shrink image 3M
        img create -q -f raw raw 1M
        img resize -f raw raw 2M
        img resize -f raw raw 1M
        img resize -f raw --shrink raw 1000
    """,
    "commit to the next": LAYERS + "img commit top\n img commit -d middle\n img commit -q middle",
    "commit to a base": LAYERS + "img commit -b base top\n img commit -b middle top\n img commit -b nope top",
    "commit to a raw image": """
        img create -q -f raw raw 1M
        io -f raw -c "write -q -P 3 512k 64k" raw
        img create -q -f qcow2 -b raw -F raw overlay 2M
        io -f qcow2 -c "write -q -P 6 0 64k" -c "write -q -P 6 1M 64k" -c "write -q -z 512k 64k" overlay
        img commit overlay
    """,
    "rebase": LAYERS
    + """
        img create -q -f qcow2 other 4M
        io -f qcow2 -c "write -q -P 1 0 64k" -c "write -q -P 4 2M 64k" other
        img rebase -b other -F qcow2 top
        img rebase -b base -F qcow2 top
        img rebase -b "" middle
        img rebase -u -b base -F qcow2 middle
        img rebase -u -b nope -F qcow2 middle
        img rebase -b base -F qcow2 middle
        img rebase -u -b "" middle
        img create -q -f qcow2 -o cluster_size=4k -b base -F qcow2 small
        img rebase -c -b "" small
    """,
    "repair": """
        img create -q -f qcow2 image 4M
        io -f qcow2 -c "write -q -P 1 0 192k" -c "truncate 1M" -c "discard 0 64k" image
        img check image
        img check -r all image
        img check -r leaks --output=json image
    """,
}
FROM_10_0 = {"rebase", "commit to the next", "commit to a base", "convert"}
"""Stories with options or answers that older releases do not have."""


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("release", ["7.2", "10.0"])
def test_stories(name: str, release: str, bundled: Bundled, tmp_path: Path) -> None:
    if release == "7.2" and name in FROM_10_0:
        pytest.skip("told with the words of 10.0")
    real = Real(release)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    for line in filter(None, map(str.strip, STORIES[name].splitlines())):
        tool, *arguments = shlex.split(line)
        expected = real.run(tool, arguments, theirs)
        assert bundled.run(tool, arguments, ours, release) == expected, line
    assert sorted(path.name for path in ours.iterdir()) == sorted(path.name for path in theirs.iterdir())
    for path in sorted(ours.iterdir()):
        compare_images(real, path, theirs / path.name)


def compare_images(real: Real, ours: Path, theirs: Path) -> None:
    """The same format, size, options, content and map; and no error in the one that the engine wrote."""
    described = [
        json.loads(real.do("img", "info", "-U", "--output=json", path.name, folder=path.parent))
        for path in (ours, theirs)
    ]
    for info in described:
        info.pop("actual-size")
        info.pop("children", None)
    assert described[0] == described[1]
    kind = described[0]["format"]
    if described[0].get("backing-filename") in ("missing", "nope"):
        return
    if kind == "qcow2":
        real.do("img", "check", "-q", "-f", kind, ours.name, folder=ours.parent)
    real.do("img", "compare", "-f", kind, "-F", kind, str(ours), str(theirs), folder=ours.parent)
    if kind == "qcow2":
        assert guest_map(real, ours) == guest_map(real, theirs)


def guest_map(real: Real, path: Path) -> list[tuple[int, int, int, bool]]:
    """Which image of the chain decides what, and whether that is zeroes: (start, length, depth, zero), merged."""
    merged: list[tuple[int, int, int, bool]] = []
    for extent in json.loads(real.do("img", "map", "--output=json", path.name, folder=path.parent)):
        start, length, depth, zero = extent["start"], extent["length"], extent["depth"], not extent["data"]
        if merged and merged[-1][2:] == (depth, zero):
            merged[-1] = (merged[-1][0], merged[-1][1] + length, depth, zero)
        else:
            merged.append((start, length, depth, zero))
    return merged
