package command

import (
	"slices"
	"strings"
)

// Columns gives what each row holds, in wire order.
func (p Parsed) Columns() []Column {
	if p.Has("dry-run") {
		return dryRunColumns
	}
	switch p.Spec.Name {
	case "fetch":
		return fetchColumns(p.Fields())
	case "mailbox status":
		return statusColumns(p)
	case "batch":
		return batchColumns(p)
	case "who":
		if p.Has("separate-connections") {
			return whoSeparate
		}
	}
	return p.Spec.Cols
}

// dryRunColumns are what --dry-run prints for each message or mailbox that
// would change. A plan is made of them.
var dryRunColumns = []Column{
	{Key: "mailbox", Title: "mailbox", Hide: true},
	{Key: "mailbox-guid", Title: "mailbox-guid"},
	{Key: "uidvalidity", Title: "uidvalidity", Number: true},
	{Key: "uid", Title: "uid", Number: true},
	{Key: "size", Title: "size", Number: true},
	{Key: "action", Title: "action"},
}

// Fields gives the words of the argument "fields", lower-cased: fetch's and
// mailbox status's.
func (p Parsed) Fields() []string {
	return strings.Fields(strings.ToLower(p.Arg("fields")))
}

// StatusItems are the items of mailbox status, in the order in which they are
// always printed.
func StatusItems() []string { return statusItems }

var (
	statusItems = []string{"messages", "recent", "uidnext", "uidvalidity", "unseen", "highestmodseq", "vsize", "guid", "firstsaved"}
	totalItems  = []string{"messages", "recent", "unseen", "vsize"}
)

func statusColumns(p Parsed) []Column {
	var cols []Column
	items := statusItems
	if p.Has("total-sum") {
		items = totalItems
	} else {
		cols = append(cols, Column{Key: "mailbox", Title: "mailbox", Hide: true})
	}
	asked := p.Fields()
	for _, item := range items {
		if slices.Contains(asked, item) || slices.Contains(asked, "all") {
			number := item != "guid" && item != "firstsaved"
			cols = append(cols, Column{Key: item, Title: item, Number: number})
		}
	}
	return cols
}

func checkStatus(p Parsed) *UsageError {
	known := statusItems
	if p.Has("total-sum") {
		known = totalItems
	}
	asked := p.Fields()
	if len(asked) == 0 {
		return p.Spec.wrong("no field", "all, or of: "+strings.Join(known, " "))
	}
	for _, f := range asked {
		if f == "all" || slices.Contains(known, f) {
			continue
		}
		if slices.Contains(statusItems, f) {
			return p.Spec.wrong("field "+f+" has no total", "with -t: "+strings.Join(known, " "))
		}
		return p.Spec.wrong("unknown field "+Quote(f), hintOf(f, known))
	}
	return nil
}

// hintOf names the nearest word, or all of them.
func hintOf(word string, known []string) string {
	if hint := didYouMean(word, known); hint != "" {
		return hint
	}
	return "known: " + strings.Join(known, " ")
}

// fetchFields are the fields of fetch whose name is fixed; isFetchField knows
// the others too.
var fetchFields = []string{
	"user", "mailbox", "mailbox-guid", "seq", "uid", "guid", "flags", "modseq",
	"hdr", "body", "text", "text.utf8", "body.preview", "body.snippet",
	"size.physical", "size.virtual",
	"date.received", "date.sent", "date.saved",
	"date.received.unixtime", "date.sent.unixtime", "date.saved.unixtime",
	"imap.envelope", "imap.body", "imap.bodystructure", "mime.parts",
	"pop3.uidl", "pop3.order", "refcount", "storageid",
}

// FetchFields are the fields of fetch whose name is fixed; hdr.NAME,
// body.SECTION and binary.SECTION are fields too.
func FetchFields() []string { return fetchFields }

func isFetchField(f string) bool {
	for _, open := range []string{"hdr.", "body.", "binary."} {
		if len(f) > len(open) && strings.HasPrefix(f, open) {
			return true
		}
	}
	return slices.Contains(fetchFields, f)
}

// FetchColumn gives the column of a field of fetch.
func FetchColumn(f string) Column {
	c := Column{Key: f, Title: f}
	switch f {
	case "seq", "uid", "modseq", "size.physical", "size.virtual", "refcount", "pop3.order",
		"date.received.unixtime", "date.sent.unixtime", "date.saved.unixtime":
		c.Number = true
	case "hdr", "body", "text", "text.utf8":
		c.Stream = true
	case "body.preview", "body.snippet":
	default:
		c.Stream = strings.HasPrefix(f, "body.") || strings.HasPrefix(f, "binary.")
	}
	return c
}

func fetchColumns(fields []string) []Column {
	cols := make([]Column, len(fields))
	for i, f := range fields {
		cols[i] = FetchColumn(f)
	}
	return cols
}

func checkFetch(p Parsed) *UsageError {
	fields := p.Fields()
	if len(fields) == 0 {
		return p.Spec.wrong("no field", hintOf("", fetchFields))
	}
	for _, f := range fields {
		if !isFetchField(f) {
			e := p.Spec.wrong("unknown field "+Quote(f), hintOf(f, fetchFields))
			e.Word = true
			return e
		}
	}
	return nil
}

// batchColumns are those of all its commands, one after the other.
func batchColumns(p Parsed) []Column {
	all, err := p.Batch()
	if err != nil {
		return nil
	}
	var cols []Column
	for _, one := range all {
		cols = append(cols, one.Columns()...)
	}
	return cols
}

// check is what the shape alone does not say about a command line.
func (p Parsed) check() *UsageError {
	switch p.Spec.Name {
	case "fetch":
		return checkFetch(p)
	case "mailbox status":
		return checkStatus(p)
	case "batch":
		if _, err := p.Batch(); err != nil {
			return err.(*UsageError)
		}
	}
	if p.Has("plan") && !p.Has("dry-run") {
		return p.Spec.wrong("--plan without --dry-run", "a plan is what a dry run finds")
	}
	return nil
}
