"""Calls of who is there and what they wait for: sessions, users, roles, tasks, events."""

from collections.abc import Mapping

from services.simulator.calls import (
    event,
    plain_records,
    roles,
    session,
    task,
)
from services.simulator.dispatch.call import CallFunction

CALLS: Mapping[str, CallFunction] = {
    "auth.get_group_membership": roles.refuse_auth,
    "auth.get_subject_identifier": roles.refuse_auth,
    "auth.get_subject_information_from_identifier": roles.refuse_auth,
    "event.from": event.from_,
    "event.get_current_id": event.get_current_id,
    "event.inject": event.inject,
    "event.next": event.next_,
    "event.register": event.register,
    "event.unregister": event.unregister,
    "role.get_by_permission": roles.get_by_permission,
    "role.get_by_permission_name_label": roles.get_by_permission_name_label,
    "role.get_permissions": roles.get_permissions,
    "role.get_permissions_name_label": roles.get_permissions_name_label,
    "session.change_password": session.change_password,
    "session.get_all_subject_identifiers": session.get_all_subject_identifiers,
    "session.local_logout": session.logout,
    "session.login_with_password": session.login_with_password,
    "session.logout": session.logout,
    "session.logout_subject_identifier": roles.logout_subject_identifier,
    "session.slave_local_login_with_password": session.slave_local_login_with_password,
    "subject.add_to_roles": roles.add_to_roles,
    "subject.create": roles.subject_create,
    "subject.destroy": plain_records.destroyer("subject"),
    "subject.get_permissions_name_label": roles.subject_permissions,
    "subject.remove_from_roles": roles.remove_from_roles,
    "task.cancel": task.cancel,
    "task.create": task.create,
    "task.destroy": task.destroy,
    "task.set_error_info": task.setter("error_info"),
    "task.set_progress": task.setter("progress"),
    "task.set_result": task.setter("result"),
    "task.set_status": task.setter("status"),
    "user.create": plain_records.creator("user"),
    "user.destroy": plain_records.destroyer("user"),
}
