"""The calls that mean more than reading or writing the database, each with its function."""

from collections.abc import Mapping

from services.simulator.calls import event, message, session, task
from services.simulator.dispatch.call import CallFunction

CALLS: Mapping[str, CallFunction] = {
    "event.from": event.from_,
    "event.get_current_id": event.get_current_id,
    "event.inject": event.inject,
    "event.next": event.next_,
    "event.register": event.register,
    "event.unregister": event.unregister,
    "message.create": message.create,
    "message.destroy": message.destroy,
    "message.get": message.get,
    "message.get_since": message.get_since,
    "session.change_password": session.change_password,
    "session.get_all_subject_identifiers": session.get_all_subject_identifiers,
    "session.local_logout": session.logout,
    "session.login_with_password": session.login_with_password,
    "session.logout": session.logout,
    "session.slave_local_login_with_password": session.slave_local_login_with_password,
    "task.cancel": task.cancel,
    "task.create": task.create,
    "task.destroy": task.destroy,
}
