package settings

import (
	"strings"

	"culver/internal/mechanism"
)

// mechanismNames are all that auth_mechanisms may name.
func mechanismNames() []string {
	var all []string
	for _, m := range mechanism.All() {
		all = append(all, strings.ToLower(m.Name))
	}
	return all
}
