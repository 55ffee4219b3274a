"""A machine described in a few lines, for tests of the configuration."""

from keepalived_py.base.names import Address
from keepalived_py.config.host import NAME_TABLES, FileStatus, Secret, User

PROGRAM = FileStatus(0o100755, 0, 0)
DIRECTORY = FileStatus(0o040755, 0, 0)


class FakeHost:
    """eth0, eth1 and lo; root; the programs /bin/true and /bin/false, and what a test adds."""

    def __init__(
        self, files: dict[str, FileStatus] | None = None, users: dict[str, User] | None = None
    ) -> None:
        self.names: dict[str, dict[str, int]] = {"protocols": {"tcp": 6, "udp": 17}}
        self.interfaces = {"eth0", "eth1", "lo"}
        self.local: tuple[Address, ...] | None = None
        self.secrets = {"/etc/keepalived/raft.key": Secret(0o100600, b"k" * 32 + b"\n")}
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

    def resolves(self, name: str) -> bool:
        return name in ("localhost", "mail.example")

    def addresses(self) -> tuple[Address, ...] | None:
        return self.local

    def secret(self, path: str, most: int) -> Secret | None:
        return self.secrets.get(path, Secret(fault="No such file or directory"))

    def processors(self) -> int:
        return 4

    def interface_is_vrf(self, name: str) -> bool:
        return name.startswith("vrf")

    def interface_is_other_than(self, name: str, kind: str) -> bool:
        return name in self.interfaces and not name.startswith(kind)

    def kernel_name(self, table: str, name: str) -> int | None:
        return {**NAME_TABLES, **self.names}[table].get(name)
