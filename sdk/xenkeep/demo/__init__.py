"""The story of ``xenkeep demo``: a simulated pool with real file systems, everything through the front door.

``guests`` makes and changes the disks and knows, independently of Xenkeep, what must come back; ``peers`` are
the syslog, mail and SMS servers of the story; ``pool`` runs the simulated pool; ``story`` tells it in order.
"""
