package reach

import (
	"strings"
	"testing"

	"culver/services/auth/field"
)

// FuzzAllows compares with a judge that is slow, and written from the manual and
// not from the code: by recursion, without a step back.
func FuzzAllows(f *testing.F) {
	f.Add("*@example.org", "search fetch expunge mailbox*", "bob@example.org", "mailbox list")
	f.Add("*a*b*@x,b?b", "*", "aabb@x", "smtp")
	f.Add("*@*@x *", "mailbox_*,smtp*", "a@b@x", "mailbox a b")
	f.Add("A\xff*", "SEARCH", "a\xff\xfe", "search")
	f.Fuzz(func(t *testing.T, users, commands, target, command string) {
		r, err := Parse(field.List{{Key: "allow_users", Value: users}, {Key: "allow_commands", Value: commands}})
		if got, want := r.AllowsUser(target), err == nil && slowUsers(users, target); got != want {
			t.Errorf("users %q and %q: got %v, want %v (%v)", users, target, got, want, err)
		}
		if got, want := r.AllowsCommand(command), err == nil && slowCommands(commands, command); got != want {
			t.Errorf("commands %q and %q: got %v, want %v (%v)", commands, command, got, want, err)
		}
	})
}

func small(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if at := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZ", s[i]); at >= 0 {
			b.WriteByte("abcdefghijklmnopqrstuvwxyz"[at])
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func items(value string) (all []string) {
	for _, item := range strings.Split(strings.ReplaceAll(value, ",", " "), " ") {
		if item != "" {
			all = append(all, item)
		}
	}
	return all
}

func slowUsers(masks, name string) bool {
	if name == "" || len(name) > 255 {
		return false
	}
	for i := 0; i < len(name); i++ {
		if name[i] < ' ' || name[i] == 0x7f || name[i] == '*' || name[i] == '?' {
			return false
		}
	}
	for _, mask := range items(masks) {
		if mask == "*" {
			return true
		}
		if strings.Count(mask, "@") != strings.Count(name, "@") || name[0] == '@' || name[len(name)-1] == '@' {
			continue
		}
		// The @ part both: each part of the mask has its part of the name.
		same, parts := true, strings.Split(small(name), "@")
		for i, m := range strings.Split(small(mask), "@") {
			same = same && slowMatch(m, parts[i])
		}
		if same {
			return true
		}
	}
	return false
}

// slowMatch notes for each beginning of the mask which beginnings of the name it
// is for.
func slowMatch(mask, name string) bool {
	at := make([]bool, len(name)+1)
	at[0] = true
	for i := 0; i < len(mask); i++ {
		next := make([]bool, len(name)+1)
		for n, ok := range at {
			switch {
			case !ok:
			case mask[i] == '*':
				for ; n <= len(name); n++ {
					next[n] = true
				}
			case n < len(name) && (mask[i] == '?' || mask[i] == name[n]):
				next[n+1] = true
			}
		}
		at = next
	}
	return at[len(name)]
}

func slowCommands(masks, command string) bool {
	words := strings.Split(command, " ")
	if len(command) > 64 {
		return false
	}
	for _, w := range words {
		if w == "" {
			return false
		}
		for i := 0; i < len(w); i++ {
			if strings.IndexByte("abcdefghijklmnopqrstuvwxyz0123456789-", w[i]) < 0 {
				return false
			}
		}
	}
	for _, mask := range items(masks) {
		m := strings.Split(strings.ReplaceAll(small(mask), "_", " "), " ")
		last := m[len(m)-1]
		switch {
		case mask == "*":
			if !strings.HasPrefix(words[0], "smtp") && !strings.HasPrefix(words[0], "submission") {
				return true
			}
		case last == "*": // at least one word more
			if len(words) >= len(m) && equal(m[:len(m)-1], words[:len(m)-1]) {
				return true
			}
		case strings.HasSuffix(last, "*"): // any number of words more
			m[len(m)-1] = last[:len(last)-1]
			if len(words) >= len(m) && equal(m, words[:len(m)]) {
				return true
			}
		case equal(m, words):
			return true
		}
	}
	return false
}

func equal(a, b []string) bool { return strings.Join(a, " ") == strings.Join(b, " ") }
