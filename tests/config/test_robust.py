"""Our own configurations, cut and damaged: an answer within a second, in every style, with lints and as a cluster."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepalived_py.config.checked import Checked, checked
from keepalived_py.config.cluster_check import cluster_findings
from keepalived_py.diagnostics.render import Style, render
from tests.config.fake_host import PROGRAM, FakeHost

SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*/*.conf"))
STYLES: tuple[Style, ...] = ("keepalived", "full", "json", "sarif")
VARIANTS = 10  # of each file
MANY_VARIANTS = 60
SECONDS = 5  # a busy machine; alone each takes some milliseconds
INSTANCE = "vrrp_instance A {\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {\n10.1.0.9\n}\n}\n"


def answer(path: Path) -> Checked:
    host = FakeHost()
    host.interfaces.add("eth2")  # one of the samples speaks of a third interface
    host.files["/etc/keepalived/fence.sh"] = PROGRAM  # and one cannot do without its script
    begin = time.monotonic()
    found = checked(str(path), config_id="n1", host=host)
    for style in STYLES:
        render(found.diagnostics, style, colour=True)
    assert time.monotonic() - begin < SECONDS
    return found


def damaged(text: str, chance: random.Random, variants: int) -> Iterator[str]:
    for _ in range(variants):
        place = chance.randrange(len(text))
        yield text[:place] if chance.random() < 0.5 else text[:place] + text[place + 1 :]


@pytest.mark.parametrize("variants", [VARIANTS, pytest.param(MANY_VARIANTS, marks=pytest.mark.slow)])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_prefixes_and_deletions(sample: Path, variants: int, tmp_path: Path) -> None:
    chance = random.Random(f"{sample.parent.name}/{sample.name}")
    path = tmp_path / "k.conf"
    path.write_text(sample.read_text())
    whole = answer(path).subject
    assert whole is not None
    for text in damaged(sample.read_text(), chance, variants):
        path.write_text(text)
        found = answer(path).subject
        if found is not None:
            for style in STYLES:
                render(cluster_findings([whole, found]), style)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"{}" * 50_000, "too-many-braces", marks=pytest.mark.slow),
        (b"$A=x\n" + b"a { b }" * 140 + b"\n", "unknown-keyword"),
        pytest.param(b"$A=${A}${A}\n${A}\n", "expansion-too-large", marks=pytest.mark.slow),
        pytest.param(b"~SEQ(X, 1, 100000000) foo $X\n", "expansion-too-large", marks=pytest.mark.slow),
        (b"\xc2\xa0\n" + INSTANCE.encode(), "unknown-keyword"),
        (b"".join(b"foo%d bar\n" % number for number in range(6000)), "unknown-keyword"),
    ],
)
def test_what_must_be_bounded(data: bytes, code: str, tmp_path: Path) -> None:
    path = tmp_path / "k.conf"
    path.write_bytes(data)
    assert code in {one.code for one in answer(path).diagnostics}


def test_a_chain_of_includes_ends(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number}.conf").write_text(f"include {number + 1}.conf\n")
    found = answer(tmp_path / "0.conf")
    assert [one.code for one in found.diagnostics] == ["include-too-deep"]


def test_many_findings_are_cut_with_a_word_about_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "k.conf"
    path.write_text("".join(f"foo{number} bar\n" for number in range(6000)))
    text = render(answer(path).diagnostics, "full")
    assert text.splitlines()[-1].startswith("hint[more]: 1000 more are not shown")
