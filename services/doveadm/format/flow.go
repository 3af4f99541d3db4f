package format

import (
	"bufio"

	"culver/services/doveadm/command"
)

// flow prints a line of title=value for each row.
type flow struct {
	out  *bufio.Writer
	cols []command.Column
}

func (f *flow) head([]command.Column) {}
func (f *flow) foot()                 {}
func (f *flow) end(int)               {}
func (f *flow) row()                  { f.out.WriteByte('\n') }
func (f *flow) text(piece []byte)     { f.out.Write(piece) }

func (f *flow) begin(i int) {
	if i > 0 {
		f.out.WriteByte(' ')
	}
	if c := f.cols[i]; !c.Hide {
		f.out.WriteString(c.Title)
		f.out.WriteByte('=')
	}
}
