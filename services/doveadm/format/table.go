package format

import (
	"bufio"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"culver/services/doveadm/command"
)

const (
	tableRows  = 100      // rows that are looked at before the widths are fixed
	tableBytes = 1 << 20  // and bytes
	tableCell  = 64 << 10 // what is kept of one cell: more is no table
	tableWidth = 80       // where there is no terminal
	leastWidth = 30
)

// table prints rows in columns as wide as their values, if they fit.
type table struct {
	out      *bufio.Writer
	cols     []command.Column
	noHeader bool
	width    int

	cells  []string // of the rows that wait
	bytes  int
	cell   []byte
	cut    int   // bytes of the cell that were not kept
	widths []int // nil until fixed
}

func (t *table) head([]command.Column) {}
func (t *table) begin(int)             { t.cell, t.cut = t.cell[:0], 0 }

// text keeps a piece. A line end would break the row, so it is shown and not
// printed; Dovecot breaks the row, or gives up where the cell is streamed.
func (t *table) text(piece []byte) {
	for _, c := range piece {
		switch {
		case len(t.cell) >= tableCell:
			t.cut++
		case c == '\n':
			t.cell = append(t.cell, `\n`...)
		case c == '\r':
			t.cell = append(t.cell, `\r`...)
		default:
			t.cell = append(t.cell, c)
		}
	}
}

func (t *table) end(i int) {
	if t.cut > 0 {
		t.cell = append(t.cell, "[and "+strconv.Itoa(t.cut)+" bytes]"...)
	}
	t.cells = append(t.cells, string(t.cell))
	t.bytes += len(t.cell)
}

func (t *table) row() {
	if t.widths == nil && len(t.cells) < tableRows*len(t.cols) && t.bytes < tableBytes {
		return
	}
	t.print()
}

func (t *table) foot() { t.print() }

func (t *table) print() {
	if t.widths == nil {
		t.fix()
		if !t.noHeader && slices.ContainsFunc(t.cols, func(c command.Column) bool { return !c.Hide }) {
			for i, c := range t.cols {
				t.pad(i, c.Title)
			}
		}
	}
	for i, cell := range t.cells {
		t.pad(i%len(t.cols), cell)
	}
	t.cells, t.bytes = t.cells[:0], 0
}

func (t *table) pad(i int, cell string) {
	blank := strings.Repeat(" ", max(0, t.widths[i]-utf8.RuneCountInString(cell)))
	if i > 0 {
		t.out.WriteByte(' ')
	}
	if t.cols[i].Right {
		t.out.WriteString(blank + cell)
	} else {
		t.out.WriteString(cell + blank)
	}
	if i == len(t.cols)-1 {
		t.out.WriteByte('\n')
	}
}

// fix decides the widths by the titles and the rows that wait. This is
// Dovecot's way: with room to spare, half of it goes to one column. With too
// little, going backwards, a column pays all of what is missing if it is wider
// than that, and else gives half of what its shortest value leaves free.
func (t *table) fix() {
	n := len(t.cols)
	t.widths = make([]int, n)
	if n == 0 {
		return
	}
	shortest := make([]int, n)
	grow := n - 1
	for i, c := range slices.Backward(t.cols) {
		t.widths[i] = utf8.RuneCountInString(c.Title)
		shortest[i] = t.widths[i]
		if c.Expand {
			grow = i
		}
	}
	for i, cell := range t.cells {
		k, w := i%n, utf8.RuneCountInString(cell)
		t.widths[k], shortest[k] = max(t.widths[k], w), min(shortest[k], w)
	}
	total := n - 1
	for _, w := range t.widths {
		total += w
	}
	room := tableWidth
	if t.width > 0 {
		room = max(t.width, leastWidth)
	}
	if total < room {
		t.widths[grow] += (room - total) / 2
		return
	}
	missing := total - room
	for i := n - 1; i >= 0 && missing > 0; i-- {
		if t.widths[i] > missing {
			t.widths[i] -= missing
			break
		}
		t.widths[i] -= max(1, (t.widths[i]-shortest[i])/2)
	}
}
