"""`vrrp_script`: a command whose exit status an instance may track."""

from keepalived_py.base.clock import Micros
from keepalived_py.config.blocks import known, script_users, values
from keepalived_py.config.blocks.commands import read_command_line
from keepalived_py.config.blocks.values import TIMER_SECONDS, integer
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Block, Keyword, Run, block
from keepalived_py.config.written import Written, WrittenScript

LARGEST = 2**31 - 1
MICROSECONDS = 1_000_000


def _script(run: Run, target: WrittenScript, at: Directive) -> None:
    target.argv, _ = read_command_line(run, at)


def _interval(run: Run, target: WrittenScript, at: Directive) -> None:
    word = at.words[1]
    value = integer(run, at, word, 0, TIMER_SECONDS)
    title = f"({target.name}): vrrp script interval"
    if value is None:
        run.error(f"{title} '{word}' must be between 1 and {TIMER_SECONDS} - ignoring", at)
        return
    if value == 0:
        run.error(f"{title} must be greater than 0, setting to 1", at)
    target.interval_us = Micros(max(value, 1) * MICROSECONDS)


def _timeout(run: Run, target: WrittenScript, at: Directive) -> None:
    value = integer(run, at, at.words[1], 0, TIMER_SECONDS)
    title = f"({target.name}): vrrp script timeout"
    if value is None:
        run.error(f"{title} '{at.words[1]}' invalid - ignoring", at)
        return
    if value == 0:
        run.error(f"{title} must be greater than 0, setting to 1", at)
    target.timeout_us = Micros(max(value, 1) * MICROSECONDS)


def _weight(run: Run, target: WrittenScript, at: Directive) -> None:
    value = integer(run, at, at.words[1], -253, 253)
    if value is None:
        run.error(f"vrrp_script {target.name} weight {at.words[1]} must be in [-253, 253]", at)
        return
    target.weight = value
    if len(at.words) > 2:
        if at.words[2] == "reverse":
            target.reverse = True
        else:
            run.error(f"vrrp_script {target.name} unknown weight option {at.words[2]}", at)


def _user(run: Run, target: WrittenScript, at: Directive) -> None:
    found = script_users.find_user(run, at, at.words[1:3])
    if found is None:
        shown = " ".join(target.argv)
        run.error(f"Unable to set uid/gid for script '{shown}'", at, code="unknown-user")
        target.removed = True
    else:
        target.uid, target.gid = found
        target.user_set = True


SCRIPT: Block[WrittenScript] = block(
    "vrrp_script",
    [
        values.custom(
            "script", _script, "<CMD>", required=False, help="the command, quoted if it has arguments"
        ),
        values.custom(
            "interval", _interval, "<INT 0..4294>", default="1", help="seconds from start to start"
        ),
        values.custom("timeout", _timeout, "<INT 0..4294>", help="seconds after which it has failed"),
        values.custom("weight", _weight, "<INT -253..253> [reverse]", default="0", help="change of priority"),
        values.number(
            "rise",
            "rise",
            1,
            LARGEST,
            "({name}): vrrp script rise value '{word}' invalid, defaulting to 1",
            help="successes needed",
        ),
        values.number(
            "fall",
            "fall",
            1,
            LARGEST,
            "({name}): vrrp script fall value '{word}' invalid, defaulting to 1",
            help="failures needed",
        ),
        values.custom("user", _user, "<USER> [[:]<GROUP>]", help="who the script runs as"),
        values.flag("init_fail", "init_failed", help="start in the failed state"),
    ],
)
SCRIPT = Block("vrrp_script", SCRIPT.keywords, fallback=known.fallback("vrrp_script"))


def keyword(written: Written) -> Keyword[Written]:
    """The top-level keyword `vrrp_script NAME { ... }`."""

    def opened(run: Run, target: Written, at: Directive) -> WrittenScript:
        return WrittenScript(at.words[1], at)

    def closed(run: Run, script: WrittenScript, at: Directive) -> None:
        if not script.argv:
            run.error(f"No script set for vrrp_script {script.name} - removing", at)
            return
        if not script.removed and not script.user_set:
            user = script_users.default_user(run, at, written)
            if user is None:
                run.error(f"Unable to set default user for vrrp script {script.name} - removing", at)
                return
            script.uid, script.gid = user
        if not script.removed:
            written.scripts.setdefault(script.name, script)

    return Keyword("vrrp_script", arguments="<NAME>", required=True, block=SCRIPT, open=opened, close=closed)
