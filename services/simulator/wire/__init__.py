"""How values look in XML-RPC and JSON-RPC."""
