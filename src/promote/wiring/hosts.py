"""Chooses what is known of each host: as declared, as last probed, as measured now."""

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from promote.core.facts import HostFacts, Target
from promote.core.matrix import bare_runtime, new_target, with_settings
from promote.errors import AuthError, InputError, IntegrityError
from promote.wiring.data import Data, read_text

if TYPE_CHECKING:
    from promote.adapters.oci.image import Image
    from promote.core.access import Access
    from promote.core.policy import Policy
    from promote.core.probe_record import Probe
    from promote.ports import Signatures


class Hosts(Data):
    """The targets."""

    def target(self, name: str) -> Target:
        """A target as declared, settled against its last probe, and against measuring now where it is this machine."""
        return self._settled(self.declared(name), HostFacts())

    def measured(self, target: Target) -> Target:
        """The target with what its Triton, and ``nvidia-smi`` as its last probe reached it, say now.

        What does not answer stays as it was declared or last probed; of a probe of another Triton release nothing is kept.
        """
        from promote.adapters.probe.measure import measure

        declared, former = self.declared(target.name), self.last_probe(target.name)
        ssh, here = (former.ssh, former.here) if former else ("", False)
        asked = (declared, self.matrix, today().isoformat())
        return self._settled(declared, measure(*asked, access=self.access(declared), ssh=ssh, here=here).facts)

    def _settled(self, target: Target, now: HostFacts) -> Target:
        from promote.core.probe_record import probed, settled

        probe = self.last_probe(target.name)
        facts = probe.facts if probe else HostFacts()
        if now.triton and facts.triton and now.triton.value != facts.triton.value:
            facts = HostFacts()
        facts = _over(facts, now)
        if target.local:
            from promote.adapters.host import measure_here

            facts = _over(facts, measure_here())
        if facts == HostFacts():
            return target
        return dataclasses.replace(
            settled(target, facts, self.matrix), probed=probed(probe, today()) if probe else None
        )

    def last_probe(self, name: str) -> "Probe | None":
        """What the target's last probe found; ``None`` where there was none."""
        from promote.adapters.probe.records import last

        return last(self.settings.path(self.settings.work_dir), name)

    def declared(self, name: str) -> Target:
        """A target of the matrix, completed by the settings; nothing is measured."""
        given = self.settings.targets.get(name)
        origin = f"promote.toml: targets.{name}"
        if given is None:
            return self.matrix.target(name)
        if name in self.matrix.targets:
            return with_settings(self.matrix.target(name), given, origin)
        return new_target(name, given, origin)

    def probe(self, name: str, *, image: str = "", ssh: str = "", here: bool = False) -> "tuple[Probe, Path | None]":
        """Measures a target, and keeps what was measured; the file is ``None`` where nothing was.

        What is not said is as in the last probe, so that a name alone renews it.

        Raises:
            InputError: no such form of an image or host.
        """
        from promote.adapters.oci.image import parse_reference
        from promote.adapters.probe.measure import measure
        from promote.adapters.probe.records import keep, last
        from promote.core.probe import ssh_host

        if image:
            parse_reference(image)
        if ssh:
            ssh_host(ssh)

        def read(reference: str, arch: str) -> tuple[str, tuple[str, ...]]:
            found = self.image(reference, arch)
            return f"{found.name.partition('@')[0]}@{found.digest[:19]}", found.environment

        target, root = self.declared(name), self.settings.path(self.settings.work_dir)
        with contextlib.suppress(IntegrityError):  # a damaged record is replaced
            former = last(root, name)
            image = image or (former.image if former else "")
            if former and not (ssh or here):
                ssh, here = former.ssh, former.here
        asked = (target, self.matrix, today().isoformat(), read)
        found = measure(*asked, access=self.access(target), image=image, ssh=ssh, here=here)
        return found, None if found.empty else keep(root, found)

    def access(self, target: Target) -> "Access":
        """What lets us in to the target's Triton; header values are read from the environment now."""
        from promote.core.access import access_of

        return access_of(target, os.environ, lambda file: str(self.settings.path(Path(file))))

    def image(self, reference: str, arch: str) -> "Image":
        """What a container image's configuration says, read from its registry without a layer."""
        from promote.adapters.oci.credentials import login_of
        from promote.adapters.oci.image import parse_reference, read_image

        host = parse_reference(reference)[0].host
        try:
            return read_image(reference, arch, login_of(os.environ, self.registry_host, host))
        except AuthError as error:
            if host == self.registry_host:
                raise
            raise AuthError(error.message, hint=f"docker login {host}") from None

    def policy(self, target: Target) -> "Policy":
        """What the settings' policy file, else the one beside them, says of ``target``; without one the defaults.

        Raises:
            InputError: it cannot be read, or is wrong.
        """
        from promote.core.policy import FILE_NAME, Policy, parse_policy

        path = self.settings.path(self.settings.policy or Path(FILE_NAME))
        if not self.settings.policy and not path.exists():
            return Policy()
        policy = parse_policy(read_text(path), str(path), target.name)
        for key, asked in (("approvals", policy.terms.approvals > 1), ("signers", policy.terms.signers is not None)):
            if asked and not target.review:
                raise InputError(
                    f"{path}: targets.{target.name}.{key}: the target asks for no review",
                    hint=f"in promote.toml: [targets.{target.name}] review = true",
                )
        return policy

    def signatures(self, policy: "Policy") -> "Signatures":
        """Who may sign, by the file that the policy names; that lies beside the policy unless its path is absolute."""
        from promote.adapters.signing import AllowedSigners
        from promote.core.policy import FILE_NAME

        beside = self.settings.path(self.settings.policy or Path(FILE_NAME)).parent
        return AllowedSigners(beside / (policy.terms.signers or ""))

    def signing(self, key: str) -> "Callable[[bytes], str]":
        """Makes signatures with a key, whose path is as it was typed."""
        from promote.adapters.signing import SshKey

        return SshKey(Path(key).expanduser()).sign

    def targets(self) -> tuple[Target, ...]:
        """All of them, by name."""
        return tuple(self.target(name) for name in sorted({*self.matrix.targets, *self.settings.targets}))

    def runtime(self, text: str) -> Target:
        """``--runtime onnxruntime=1.20.1`` as a target."""
        return bare_runtime(self.matrix, text)


def _over(former: HostFacts, now: HostFacts) -> HostFacts:
    """What is measured now, else what was."""
    fields = HostFacts.__dataclass_fields__
    return HostFacts(**{name: getattr(now, name) or getattr(former, name) for name in fields})


def today() -> datetime.date:
    """The day in UTC, as records and the matrix name days."""
    return datetime.datetime.now(datetime.UTC).date()
