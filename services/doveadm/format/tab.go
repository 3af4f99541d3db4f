package format

import (
	"bufio"

	"culver/services/doveadm/command"
)

// tab prints a line for each row, cells parted by TABs. A byte that would part
// cells or rows is escaped as on doveadm's wire (0x01 and a letter); Dovecot
// prints it as it is, and nobody can tell where the cell ends.
type tab struct {
	out      *bufio.Writer
	cols     []command.Column
	noHeader bool
	escape   string // what stands before the letter; a terminal would not show 0x01
}

func (t *tab) head(cols []command.Column) {
	if t.noHeader {
		return
	}
	for i, c := range cols {
		if i > 0 {
			t.out.WriteByte('\t')
		}
		t.out.WriteString(c.Title)
	}
	t.out.WriteByte('\n')
}

func (t *tab) foot()   {}
func (t *tab) end(int) {}
func (t *tab) row()    { t.out.WriteByte('\n') }

func (t *tab) begin(i int) {
	if i > 0 {
		t.out.WriteByte('\t')
	}
}

func (t *tab) text(piece []byte) {
	for _, c := range piece {
		switch c {
		case 0:
			t.out.WriteString(t.escape + "0")
		case 1:
			t.out.WriteString(t.escape + "1")
		case '\t':
			t.out.WriteString(t.escape + "t")
		case '\r':
			t.out.WriteString(t.escape + "r")
		case '\n':
			t.out.WriteString(t.escape + "n")
		default:
			t.out.WriteByte(c)
		}
	}
}
