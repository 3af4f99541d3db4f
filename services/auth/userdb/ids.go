package userdb

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"culver/services/auth/accounts"
	"culver/services/auth/field"
)

// IDs resolves account and group names.
type IDs struct{ Users, Groups *accounts.Table }

// complete checks what a lookup has collected and puts uid, gid and home first.
// An entry without usable ids is a failure and not an unknown user: somebody
// meant the user to exist, and mail for it can wait.
func (ids IDs) complete(f field.List) (field.List, error) {
	if _, ok := f.Get("tempfail"); ok {
		reason, _ := f.Get("reason")
		return nil, &Refused{reason}
	}
	owner, err := ownerOf(f)
	if err != nil {
		return nil, err
	}
	out := make(field.List, 0, len(f)+2)
	for _, id := range [...]struct {
		key   string
		table *accounts.Table
	}{{"uid", ids.Users}, {"gid", ids.Groups}} {
		text, ok := owner.Get(id.key)
		if !ok {
			text, _ = f.Get(id.key)
		}
		n, err := id.table.ID(text)
		if err != nil {
			return nil, fmt.Errorf("%s %w", id.key, err)
		}
		out = append(out, field.Field{Key: id.key, Value: strconv.Itoa(n)})
	}
	if home, ok := f.Get("home"); ok {
		out = append(out, field.Field{Key: "home", Value: home})
	}
	for _, x := range f {
		switch x.Key {
		case "uid", "gid", "home", "uidgid_file":
		case "system_user":
			x.Key = "system_groups_user"
			out = append(out, x)
		default:
			out = append(out, x)
		}
	}
	return out, nil
}

// ownerOf gives the uid and gid of the file that uidgid_file names.
func ownerOf(f field.List) (field.List, error) {
	path, ok := f.Get("uidgid_file")
	if !ok {
		return nil, nil
	}
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("uidgid_file %q is no absolute path", path)
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("uidgid_file: %w", err)
	}
	own := st.Sys().(*syscall.Stat_t)
	return field.List{
		{Key: "uid", Value: strconv.FormatUint(uint64(own.Uid), 10)},
		{Key: "gid", Value: strconv.FormatUint(uint64(own.Gid), 10)},
	}, nil
}
