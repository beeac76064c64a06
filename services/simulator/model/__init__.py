"""The XenAPI data model: classes, fields, messages, roles, and since when they exist."""
