"""A machine described in a few lines, for tests of the configuration."""

from keepalived_py.config.host import BUILT_IN_SCOPES, FileStatus, User, parse_scope

PROGRAM = FileStatus(0o100755, 0, 0)
DIRECTORY = FileStatus(0o040755, 0, 0)


class FakeHost:
    """eth0, eth1 and lo; root; the programs /bin/true and /bin/false, and what a test adds."""

    def __init__(
        self, files: dict[str, FileStatus] | None = None, users: dict[str, User] | None = None
    ) -> None:
        self.interfaces = {"eth0", "eth1", "lo"}
        self.files = {
            "/": DIRECTORY,
            "/bin": DIRECTORY,
            "/bin/true": PROGRAM,
            "/bin/false": PROGRAM,
            **(files or {}),
        }
        self.users = {"root": User("root", 0, 0), **(users or {})}

    def interface_exists(self, name: str) -> bool:
        return name in self.interfaces

    def interface_is_loopback(self, name: str) -> bool:
        return name == "lo"

    def interface_mtu(self, name: str) -> int:
        return 1500

    def user(self, name: str) -> User | None:
        return self.users.get(name)

    def group_id(self, name: str) -> int | None:
        return {"root": 0}.get(name)

    def own_user(self) -> User:
        return self.users["root"]

    def status(self, path: str) -> FileStatus | None:
        return self.files.get(path)

    def real_path(self, path: str) -> str:
        return path

    def search_path(self) -> tuple[str, ...]:
        return ("/bin",)

    def host_name(self) -> str:
        return "node.example"

    def scope(self, name: str) -> int | None:
        return parse_scope(name, BUILT_IN_SCOPES)
