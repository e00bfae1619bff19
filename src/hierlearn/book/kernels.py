"""Kernels that are forked from one process that has imported what every chapter imports.

Importing torch, SciPy and matplotlib takes four seconds, and a book has ten chapters.
"""

import os
import sys
import threading
import time
from importlib.metadata import EntryPoint
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import Any, cast

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

IMPORTED = ["torch._dynamo", "matplotlib.pyplot", "ipykernel.kernelapp", "hierlearn.book.pages"]
_NAME = "hierlearn-forked"


class _Forked:
    """A process of the fork server, with the face of `subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        self.pid = process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            os.kill(self._process.pid or 0, signum)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


class Forked(LocalProvisioner):
    """Launches kernels by the fork server of `multiprocessing`."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Launch the kernel that `cmd` would start: what follows its module are its options."""
        context = get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        argv = cmd[cmd.index("ipykernel_launcher") + 1 :]
        process = context.Process(target=_serve, args=(argv, kwargs["env"], kwargs.get("cwd")))
        process.start()
        self.process = cast(Any, _Forked(process))
        # Until the kernel leads a group of its own, it is in the server's.
        self.pid, self.pgid = process.pid, None
        return self.connection_info


def _serve(argv: list[str], variables: dict[str, str], folder: str | None) -> None:
    from ipykernel.kernelapp import IPKernelApp

    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    os.setsid()  # as other kernels: Ctrl-C is the driver's
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder or ".")
    sys.argv = ["ipykernel_launcher.py", *argv]
    IPKernelApp.launch_instance()


def _end_with(server: int) -> None:
    """End with the server and the driver; the server lives as long as one of its kernels."""
    driver = parent_process()
    while driver and driver.is_alive() and os.getppid() == server:
        time.sleep(0.5)
    os._exit(1)


def fork_kernels() -> None:
    """Make this process start its kernels by forking, where that is safe: on Linux."""
    if sys.platform == "linux":
        factory = KernelProvisionerFactory.instance()
        entry = EntryPoint(_NAME, f"{__name__}:{Forked.__name__}", factory.GROUP_NAME)
        factory.provisioners[_NAME] = entry
        factory.default_provisioner_name = _NAME
