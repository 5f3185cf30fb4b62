"""Tools of MCP servers: `servers` has one `connection` a server, which opens a `session` over stdio or HTTP again and
again; `discovery` reads what a server offers, `pins` remember what a tool looked like, `tools` call it.
"""
