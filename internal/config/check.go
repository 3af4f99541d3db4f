package config

import "culver/internal/settings"

func (b *builder) check(cfg *settings.Config) {}
