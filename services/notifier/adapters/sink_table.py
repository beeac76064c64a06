"""Which sink a channel's settings mean."""

from services.notifier.adapters.smpp_sink import SmppSink
from services.notifier.adapters.smtp_sink import SmtpSink
from services.notifier.adapters.syslog_sink import SyslogSink
from services.notifier.domain.channel import Channel
from services.notifier.domain.settings import Email, Sms, Syslog
from services.notifier.ports import Files, Sink


class SinkTable:
    """`hostname` is what we call ourselves towards syslog and mail servers."""

    def __init__(self, files: Files, hostname: str) -> None:
        self._files = files
        self._hostname = hostname

    def of(self, channel: Channel) -> Sink:
        match channel.settings:
            case Syslog() as syslog:
                return SyslogSink(syslog, self._files, hostname=self._hostname)
            case Email() as email:
                return SmtpSink(email, self._files, hostname=self._hostname)
            case Sms() as sms:
                return SmppSink(sms, self._files)
