"""What helps with the mistakes that people really make.

keepalived says what it does not understand, seldom why or what to do.  The
table below adds that, for the mistakes found most often in published
configurations: each row knows a message (or a keyword of the line), and has
notes and, where it is sure, the text that should stand there instead.  It is
applied when diagnostics are shown; nothing in it changes a verdict.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from keepalived_py.base.record import replace
from keepalived_py.diagnostics.report import Diagnostic


class Help(NamedTuple):
    """What is added to a diagnostic."""

    notes: tuple[str, ...]
    fix: str = ""


COMMENTS = "a comment begins with '#' or '!'"
Advise = Callable[[re.Match[str], Diagnostic], Help | None]

BLANKS = {
    "\u00a0": "no-break space (U+00A0)",
    "\u3000": "ideographic space (U+3000)",
    "\u2003": "em space (U+2003)",
    "\u2002": "en space (U+2002)",
    "\u2009": "thin space (U+2009)",
    "\u202f": "narrow no-break space (U+202F)",
    "\u200b": "zero width space (U+200B)",
    "\ufeff": "byte order mark (U+FEFF)",
}
ODD_BLANK = re.compile("[" + "".join(BLANKS) + "]")
_NO_WIDTH = "\u200b\ufeff"
_CURLY = re.compile("[\u2018\u2019\u201c\u201d\uff02]")
_PROMPT = re.compile(r"\s*(?:\[?[\w.-]+@[\w.-]+[^#$%>]*[#$%>]\s|[$#%>]\s+\w|\$\s*$)")
_CONFLICT = re.compile(r"(<{7}|={7}|>{7}|\|{7})")
MARKERS = {
    "<": "here begins the one side",
    "|": "here begins what both sides had",
    "=": "here begins the other side",
    ">": "here ends the other side",
}
REMOVED = {
    "nat_mask": "old versions had it; the netmask of NAT has no meaning any more, the line can go",
    "net_mask": "there is no such keyword; nat_mask, which old versions had, has no meaning any more",
    "lvs_id": "old versions had it; it is called router_id now",
    "vrrp_ipsets": "this build has no iptables; nftables sets are used without asking",
}
RENAMED = {
    "nb_get_retry": ("retry", "it is an old name, too; every check has 'retry'"),
    "lvs_id": ("router_id", REMOVED["lvs_id"]),
    "lb_algo": ("lvs_sched", "lb_algo is the old name of lvs_sched"),
    "lb_kind": ("lvs_method", "lb_kind is the old name of lvs_method"),
}


def _unknown(match: re.Match[str], one: Diagnostic) -> Help | None:
    word = match["word"]
    text = one.origin.text if one.origin else ""
    foreign = _foreign(word, text)
    if foreign is not None:
        return foreign
    if word in RENAMED:
        better, note = RENAMED[word]
        return Help(() if one.code == "removed-keyword" else (note,), better)
    if word in REMOVED:
        return Help(() if one.code == "removed-keyword" else (REMOVED[word],))
    if re.fullmatch(r"include[rmwba]?", word):
        return Help((f"{word} needs the name of a file, or a pattern, behind it",))
    definition = re.match(r"\s*(?P<name>\$\w+)\s*=\s*(?P<value>.*\S)", text)
    if word.startswith("$") and definition is not None:
        note = "in a definition there is no blank before the '='"
        return Help((note, f"that is: {definition['name']}={definition['value']}"))
    if word.startswith("$"):
        return Help((f"no line above defines {word}",))
    if word == "}":
        return Help(("every block that was open has been closed before",))
    if word.startswith("lvs_sync_daemon_int"):
        return Help(
            ("even spelt right it is old: write 'lvs_sync_daemon INTERFACE INSTANCE' in global_defs",)
        )
    if "=" in word.strip("=") or text.split()[1:2] == ["="]:
        key, _, value = word.partition("=")
        fix = f"{key} {value}" if re.fullmatch(r"\w+", key) and value else ""
        return Help(("a keyword and its value are parted by blanks, without '='",), fix)
    if re.fullmatch(r"[\w-]+[:;]", word):
        return Help((f"a line ends a statement; there is no '{word[-1]}'",), word[:-1])
    if re.fullmatch(r"[;,()\[\]]+", word):
        return Help(
            (f"'{word}' has no meaning here; blocks stand in braces, statements end with their line",)
        )
    return None


def _foreign(word: str, text: str) -> Help | None:
    """Advice for what is no keepalived.conf at all: a pasted blank, a comment of another language..."""
    if ODD_BLANK.search(word):
        plain = ODD_BLANK.sub(lambda match: "" if match.group() in _NO_WIDTH else " ", word).strip()
        return Help((), plain if plain.isascii() else "")
    if word.startswith(("//", "/*", "*/", "--")):
        return Help((COMMENTS,), "#" + word[2:] if word.startswith("//") else "")
    conflict = _CONFLICT.match(word)
    if conflict is not None:
        note = f"a merge conflict was left in the file: {MARKERS[word[0]]}; keep one side, delete the markers"
        return Help((note,))
    if _PROMPT.match(text):
        return Help(("this looks like a shell's prompt that was copied along; delete the line",))
    if _CURLY.search(text):
        return Help(('the line has typographic quotes; only the plain " quotes',))
    return None


def _password(match: re.Match[str], one: Diagnostic) -> Help:
    limit = match["limit"]
    return Help(
        (
            f"only its first {limit} bytes are used and sent: the packet has room for no more",
            f"a peer with the same first {limit} bytes accepts them; one whose password differs there, or "
            "that compares all of a longer password, refuses the adverts, and both become MASTER",
            f"shorten it to the same {limit} bytes on all routers: it says then what is really compared",
        )
    )


def _not_found(match: re.Match[str], one: Diagnostic) -> Help:
    kind = {"script": "vrrp_script", "file": "track_file", "process": "vrrp_track_process"}.get(
        match["kind"], "bfd_instance"
    )
    return Help(
        (
            f"a '{kind} {match['name']}' must stand above the block that tracks it",
            "until then nothing is tracked: the instance keeps its priority whatever happens",
        )
    )


def _zero_interval(match: re.Match[str], one: Diagnostic) -> Help:
    return Help(("0 means no delay, and that is what holds without the line: delete it",))


def _of_master(match: re.Match[str], one: Diagnostic) -> Help:
    what = "nopreempt" if "nopreempt" in match.group() else "preempt_delay"
    return Help(
        (
            f"{what} works only with 'state BACKUP', on all routers: the first to start, or the one with the "
            "highest priority, becomes master by itself",
            f"as it stands {what} is taken back, and this router takes the addresses as soon as it starts",
        )
    )


def _persistence(match: re.Match[str], one: Diagnostic) -> Help | None:
    if one.origin is None or one.origin.text.split()[:1] != ["persistence_timeout"]:
        return None
    return Help(("there is no 0: without the line connections are not persistent", "delete the line"))


def _sync_daemon(match: re.Match[str], one: Diagnostic) -> Help:
    return Help(("write 'lvs_sync_daemon INTERFACE INSTANCE' in global_defs instead",))


def _user(match: re.Match[str], one: Diagnostic) -> Help | None:
    text = one.origin.text.strip() if one.origin else ""
    words = re.findall(r'"[^"]*"|\S+', text)
    if len(words) < 3 or not words[0].startswith(("notify", "quorum", "startup", "shutdown")):
        return None
    command = " ".join(word.strip('"') for word in words[1:])
    return Help(
        (
            f"words behind the command are the user and group it runs as: '{words[2]}' is taken for a user",
            f'arguments belong into quotes: {words[0]} "{command}"',
        )
    )


def _no_user(match: re.Match[str], one: Diagnostic) -> Help:
    return Help(
        (
            "scripts without a user run as keepalived_script; where there is no such user they are not run",
            "create the user, or say who it shall be with 'script_user root' in global_defs",
        )
    )


def _security(match: re.Match[str], one: Diagnostic) -> Help:
    return Help(
        (
            "scripts run as root: whoever may write to one of them, or to a folder above it, is root",
            "'enable_script_security' in global_defs makes keepalived refuse such scripts",
        )
    )


def _brace(match: re.Match[str], one: Diagnostic) -> Help | None:
    text = one.origin.text if one.origin else ""
    if re.search(r"(?:^|\s)(?://|--|/\*).*\{", text):
        return Help((COMMENTS, "what stands behind anything else is read, and its braces count"))
    if "${" in text:
        return Help(("a parameter that is not defined stays as it is, and its braces then count as braces",))
    return None


def _undefined(match: re.Match[str], one: Diagnostic) -> Help | None:
    """A parameter that nobody defined stays as it is, and is no number then."""
    used = re.search(r"\$\{?(\w+)", one.origin.text) if one.origin else None
    if used is None:
        return None
    return Help((f"no line above defines {used[1]}: ${used[1]}=VALUE",))


def _one_each(match: re.Match[str], one: Diagnostic) -> Help | None:
    if match["word"] and match["word"].endswith(";"):
        return Help(("a line ends a statement; there is no ';'",))
    if match["second"] and not re.search(r"\d\.\d|:", match["second"]):
        return None
    return Help(("every address stands on a line of its own, and nothing parts them but the line end",))


def _port(match: re.Match[str], one: Diagnostic) -> Help:
    return Help(("a port is a word of its own",), f"{match['address']} {match['port']}")


def _round(match: re.Match[str], one: Diagnostic) -> Help | None:
    text = one.origin.text.rstrip() if one.origin else ""
    return Help(("a block stands in braces { }",)) if text.endswith(("(", "[", "<")) else None


TABLE: tuple[tuple[re.Pattern[str], Advise], ...] = (
    (re.compile(r"Unknown keyword '(?P<word>.*)'$", re.DOTALL), _unknown),
    (re.compile(r"Truncating auth_pass to (?P<limit>\d+) characters"), _password),
    (re.compile(r"track(?:ed)? (?P<kind>script|file|process|bfd) (?P<name>\S+) not found"), _not_found),
    (re.compile(r"vrrp_g(?:arp|na)_interval '?0'? "), _zero_interval),
    (re.compile(r"nopreempt will not work with initial state MASTER"), _of_master),
    (re.compile(r"preempt delay will not work with initial state MASTER"), _of_master),
    (re.compile(r"persistence_timeout invalid|number '0' outside range"), _persistence),
    (re.compile(r"Specifying lvs_sync_daemon_interface against a vrrp is deprecated"), _sync_daemon),
    (re.compile(r"[Uu]nable to set default user"), _no_user),
    (re.compile(r"^SECURITY VIOLATION"), _security),
    (re.compile(r"uid/gid|[Uu]nable to (?:find|resolve).*user|user .* not|[Ii]nvalid user"), _user),
    (re.compile(r"Unexpected '\{'"), _brace),
    (re.compile(r"number '\$"), _undefined),
    (re.compile(r"invalid number '(?P<word>[^']+[,;])'|entry '(?P<second>[^']+)' for ip address"), _one_each),
    (re.compile(r"IP address (?P<address>\d+(?:\.\d+){3}):(?P<port>\d+) - skipping"), _port),
    (re.compile(r"smtp server (?P<address>\d+(?:\.\d+){3}):(?P<port>\d+)\b"), _port),
    (re.compile(r"must have a name"), _round),
)


def advised(one: Diagnostic) -> Diagnostic:
    """The diagnostic with the table's notes, behind its own, and its fix."""
    for pattern, advise in TABLE:
        match = pattern.search(one.message)
        help_ = advise(match, one) if match else None
        if help_ is not None:
            new = tuple(note for note in help_.notes if note not in one.notes)
            suggestion = "" if help_.fix and help_.fix != one.suggestion else one.suggestion
            one = replace(one, notes=one.notes + new, fix=one.fix or help_.fix, suggestion=suggestion)
            break
    return _of_line(one)


def _of_line(one: Diagnostic) -> Diagnostic:
    """What may be wrong with any word of any line: blanks that are none, comments that are none."""
    odd = ODD_BLANK.search(one.message)
    if odd is not None and not one.own:
        note = f"here is a blank that is none ({BLANKS[odd.group()]}): to keepalived it is part of the word"
        return replace(one, notes=(note, "replace it by plain blanks", *one.notes))
    if COMMENTS not in one.notes and re.search(r"(?:^|[\s'])//", one.message) and not one.own:
        return replace(one, notes=(COMMENTS, *one.notes))
    return one
