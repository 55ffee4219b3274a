"""Virtual servers played at random: the real decisions beside a model that knows only the rules."""
