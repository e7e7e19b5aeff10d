"""The sidecar: follows services, and writes them to files for an application beside it.

Changes are gathered for a moment, written to a file beside the target, checked by a command of the
user's, put in place in one step, and then the application is notified. A failure is reported in
the log and by ``/healthz``, and leaves the last good file in place.
"""

import threading

from distributed_config.client.sidecar.health import Health, HealthServer
from distributed_config.client.sidecar.plan import Plan
from distributed_config.client.sidecar.target_file import TargetFile


class Sidecar:
    """All targets of one plan. ``/healthz`` is served as soon as it exists.

    ``predecessor`` is the sidecar that this one replaces, if there is one. If both plans have the
    same address for ``/healthz``, its listener is taken over, so that no probe fails in between.
    Raises Invalid if nothing can listen at the address.
    """

    def __init__(self, plan: Plan, predecessor: "Sidecar | None" = None) -> None:
        self.plan = plan
        self.files = [TargetFile(target, plan) for target in plan.targets]
        self._ended = threading.Event()
        self._health_server: HealthServer | None = None
        if predecessor is not None and predecessor.plan.health == plan.health:
            self._health_server = predecessor._hand_over_health_server()
            if self._health_server is not None:
                self._health_server.check = self.health
        elif plan.health:
            self._health_server = HealthServer(plan.health, self.health)

    def start(self) -> bool:
        """Load and write every target once. Return whether all of them are current."""
        # In parallel: one after the other, each would wait a whole deadline for a server that is
        # away.
        loading = [threading.Thread(target=file.load, daemon=True) for file in self.files]
        for thread in loading:
            thread.start()
        for thread in loading:
            thread.join()
        # A list first: all() of a generator would stop at the first file that fails.
        results = [not self._ended.is_set() and file.sync() for file in self.files]
        return all(results)

    def follow(self) -> None:
        """Keep the targets up to date in the background."""
        for file in self.files:
            threading.Thread(target=file.run, name=file.target.service, daemon=True).start()

    def end(self) -> None:
        """End everything, also what has not started yet. The files stay as they are."""
        self._ended.set()
        # All of them first: a successor may be about to start, and only one may write.
        for file in self.files:
            file.request_stop()
        for file in self.files:
            file.stop()
        if self._health_server is not None:
            self._health_server.stop()

    def health(self) -> Health:
        """Return whether every file is good, and a report on each, in the order of the plan."""
        reports = [file.health() for file in self.files]
        return all(report["good"] for report in reports), reports

    def _hand_over_health_server(self) -> HealthServer | None:
        server, self._health_server = self._health_server, None
        return server
