"""What a port says before anybody signs in: plain results, no exceptions."""

from core.probe.addresses import LATE, Answer, Reach, reach
from core.probe.certificate import Certificate, certificate
from core.probe.port import AUTH_METHODS, probe

__all__ = ["AUTH_METHODS", "LATE", "Answer", "Certificate", "Reach", "certificate", "probe", "reach"]
