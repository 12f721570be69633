"""The engine as the bot sees it: its process, its HTTP side, and who serves where.

- chat_template: whether a base model takes the bot's prompts
- engine_client: the engine over HTTP
- engine_process: starts, watches and restarts the engine
- promoting: promotion and rollback by hand
- served_versions: which version answers for which server
- version_buttons: the button below a night's report
"""
