"""The reporting wing: predictions become tables, tests and figures. It needs neither torch nor the models."""
