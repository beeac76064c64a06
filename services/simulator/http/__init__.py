"""A small HTTP/1.1 server that answers as a XenServer host does."""
