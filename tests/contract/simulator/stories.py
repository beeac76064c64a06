"""What was done beside the recorded requests, recording by recording."""

from __future__ import annotations

from tests.contract.simulator.stage import Stage, Story
from tests.contract.simulator.story_events import EVENTS
from tests.contract.simulator.story_http import NBD, OTHER_HTTP
from tests.contract.simulator.story_records import RECORDS
from tests.contract.simulator.story_rpc import DISPATCH, HTTP, JSON_RPC, SESSIONS
from tests.contract.simulator.story_tasks import TASKS
from tests.contract.simulator.story_tracking import TRACKING
from tests.contract.simulator.story_transfers import DISKS, METADATA, XVA
from tests.contract.simulator.story_vms import VMS

_RPC = (SESSIONS, DISPATCH, HTTP, JSON_RPC, RECORDS)
_ALL = (*_RPC, EVENTS, TASKS, VMS, TRACKING, NBD, DISKS, XVA, METADATA, OTHER_HTTP)
STORIES = {story.name: story for story in _ALL}

__all__ = ["STORIES", "Stage", "Story"]
