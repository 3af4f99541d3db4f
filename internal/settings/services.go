package settings

// Builtin is a service that Culver has, with what it takes for granted before
// any file is read.
type Builtin struct {
	Name      string
	Always    bool // it runs although no file names it
	Single    bool // exactly one process
	Mail      bool // its limits are those of workers that serve one user
	Listens   bool // useless without a listener, which is a fault
	Optional  bool // without a listener it does not run, which is no fault
	Defaults  map[string]string
	Listeners map[string]map[string]string // unix_listener by path
}

// Builtins lists the services in the order in which they start. A default that
// begins with $ is the value of that global setting.
func Builtins() []Builtin {
	const group = "$default_internal_group"
	return []Builtin{
		{Name: "log", Always: true, Single: true,
			Defaults: map[string]string{"executable": "log", "user": "culver-log", "process_limit": "1"}},
		{Name: "anvil", Always: true, Single: true,
			Defaults:  map[string]string{"executable": "anvil", "user": "$default_internal_user", "process_limit": "1"},
			Listeners: map[string]map[string]string{"anvil": {"mode": "0660", "group": group}}},
		{Name: "auth", Always: true, Single: true, Listens: true,
			// The test of a modern hash takes 64 MiB, and a file of users may be large.
			Defaults: map[string]string{"executable": "auth", "user": "culver-auth", "extra_groups": group, "process_limit": "1", "vsz_limit": "1G"},
			Listeners: map[string]map[string]string{
				// Who may look up users: the fronts, by their group.
				"auth-userdb": {"mode": "0660", "group": group},
				// Who may check passwords and ask for tickets: the front of doveadm.
				"auth-doveadm": {"mode": "0660", "group": group, "type": "doveadm"},
				"auth-client":  {"mode": "0600"},
				"auth-login":   {"mode": "0600"},
				"auth-master":  {"mode": "0600"},
				// Login processes of others, in a folder that the group alone can enter.
				"login/login": {"mode": "0660", "group": group},
			}},
		{Name: "lmtp", Always: true, Mail: true, Listens: true,
			Defaults: map[string]string{"executable": "lmtp", "user": "culver-lmtp", "extra_groups": group, "protocol": "lmtp", "service_count": "1"}},
		{Name: "doveadm", Always: true, Mail: true, Optional: true,
			Defaults: map[string]string{"executable": "doveadm-server", "user": "culver-doveadm", "extra_groups": group, "service_count": "1"},
			Listeners: map[string]map[string]string{
				"doveadm-server": {"mode": "0600"}, // root's, who needs no ticket
			}},
	}
}

// BuiltinNamed finds a service by name.
func BuiltinNamed(name string) (Builtin, bool) {
	for _, b := range Builtins() {
		if b.Name == name {
			return b, true
		}
	}
	return Builtin{}, false
}

// ServiceNames lists all services.
func ServiceNames() []string {
	var all []string
	for _, b := range Builtins() {
		all = append(all, b.Name)
	}
	return all
}

// ServiceRow gives a row of the service block with the default that it has in
// this service.
func (b Builtin) ServiceRow(row Setting) Setting {
	if text, ok := b.Defaults[row.Name]; ok {
		row.Default = text
		if row.Default[0] == '$' {
			row.From, row.Default = row.Default[1:], ""
		} else {
			row.From = ""
		}
	}
	if row.Name == "type" {
		row.Default = b.Name
	}
	return row
}
