package variable

import (
	"strings"
	"testing"
)

func TestRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"%": "a lone %", "a%": "a lone %", "%q": "unknown variable %q", "%{nope}": "unknown variable %{nope}",
		"%{user": "%{ without }", "%{user|rot13}": `unknown filter "rot13"`, "%L": "a lone %", "%9": "a lone %",
		"%1.2.3n": "bad width", "%99999n": "bad width", "%--2.1n": "bad width",
		"%w": "nobody's variable", "%{password}": "nobody's variable", "%h": "does not know the home",
		"%{}": "something is missing", "%{user|}": "something is missing", "%{passdb:}": "unknown variable",
		"%{user|lower(1)}": "takes no arguments", "%{user|default(1,2)}": "takes one value", "%{user|substr}": "wants an offset",
		"%{user|substr(x)}": "are no numbers", "%{user|lfill(1,ab)}": "one character", "%{user|lfill(9999999)}": "is no width",
		"%{user|truncate(-1)}": "wants a length", "%{user|default('x}": "%{ without }", "%{user|truncate(1}": "not closed",
		"%{sha256;rounds=9:user}": "unknown variable", "%5L3n": "unknown variable",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", text, err, want)
		}
	}
}
