package worker

// commandNamed gives what carries out a command, by its name in the table of
// package command; nil where it is not for a worker. (A map would have to be
// made at each start of the program.)
func commandNamed(name string) func(*call) error {
	switch name {
	case "search":
		return (*call).search
	case "fetch":
		return (*call).fetch
	case "expunge":
		return (*call).expunge
	case "flags add":
		return (*call).flagsAdd
	case "flags remove":
		return (*call).flagsRemove
	case "flags replace":
		return (*call).flagsReplace
	case "deduplicate":
		return (*call).deduplicate
	case "batch":
		return (*call).batch
	case "altmove", "purge":
		return (*call).accepted
	}
	return nil
}
