"""A process's control groups, as files: what `/proc/self` and the mounts show of them."""

from __future__ import annotations

from pathlib import Path


class Groups:
    """Hierarchies mounted below a folder, and a process in a group of each.

    Attributes:
        proc: The folder to read in the place of `/proc/self`.
    """

    def __init__(self, folder: Path) -> None:
        self._mounted = folder / "sys fs cgroup"  # mountinfo writes a space as \\040
        self.proc = folder / "proc"
        self.proc.mkdir()
        for name in ("cgroup", "mountinfo"):
            (self.proc / name).write_text("")

    def mount(self, version: int, controllers: str, own: str, root: str = "/") -> Path:
        """Mount a hierarchy.

        Args:
            version: 1 or 2.
            controllers: Those of version 1, as `cpu,cpuacct`; empty for version 2.
            own: The process's group, as the kernel names it.
            root: The group that is seen at the mount's root.

        Returns:
            Where it is mounted.
        """
        point = self._mounted / (controllers or "unified")
        point.mkdir(parents=True, exist_ok=True)
        written = str(point).replace(" ", "\\040")
        kind = "cgroup2" if version == 2 else "cgroup"
        options = "rw,nsdelegate" if version == 2 else f"rw,{controllers}"
        with (self.proc / "cgroup").open("a") as file:
            file.write(f"{0 if version == 2 else 4}:{controllers}:{own}\n")
        with (self.proc / "mountinfo").open("a") as file:
            file.write(
                "24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
                f"31 24 0:28 {root} {written} rw,nosuid shared:9 - {kind} {kind} {options}\n"
            )
        return point

    def write(self, folder: Path, **files: str) -> None:
        """Write files of a group, `__` in their names for a dot."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text + "\n")
