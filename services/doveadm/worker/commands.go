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
	case "copy":
		return (*call).copy
	case "move":
		return (*call).move
	case "save":
		return (*call).save
	case "import":
		return (*call).importMail
	case "deduplicate":
		return (*call).deduplicate
	case "batch":
		return (*call).batch
	case "purge":
		return (*call).accepted
	case "mailbox list":
		return (*call).mailboxList
	case "mailbox path":
		return (*call).mailboxPath
	case "mailbox status":
		return (*call).mailboxStatus
	case "mailbox create":
		return (*call).mailboxCreate
	case "mailbox delete":
		return (*call).mailboxDelete
	case "mailbox rename":
		return (*call).mailboxRename
	case "mailbox subscribe":
		return (*call).mailboxSubscribe
	case "mailbox unsubscribe":
		return (*call).mailboxUnsubscribe
	case "mailbox update":
		return (*call).mailboxUpdate
	case "force-resync":
		return (*call).forceResync
	case "index":
		return (*call).index
	case "quota get":
		return (*call).quotaGet
	case "quota recalc":
		return (*call).quotaRecalc
	}
	return nil
}
