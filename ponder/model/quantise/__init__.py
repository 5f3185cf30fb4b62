"""int8 and int4 folders: made, rounded for a text where asked, and compared with their source."""
