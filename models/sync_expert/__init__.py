"""The sync expert: tells whether lips and speech belong together (RADIO 3.3, supplement A)."""
