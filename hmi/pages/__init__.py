"""The pages, one file each. Every page is `@ui.page` inside a `register(context)` that hmi.room calls once."""
