package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/FerretDB/wire/wirebson"
)

// failPoints is the fail point failCommand of MongoDB's own tests, as far as ours ask for it: the command
// {configureFailPoint: "failCommand", mode: {times: N} or "alwaysOn" or "off", data: {failCommands: [NAME, …], …}} with
// `errorCode`, `closeConnection`, `blockConnection` and `blockTimeMS`. Of this server alone is `replyLost`: the command
// is done, and the connection is closed before its reply.
type failPoints struct {
	mutex    sync.Mutex
	left     int32 // how many commands are still to fail; less than 0: all
	commands map[string]bool
	point    failPoint
}

// failPoint is what happens to one command. Its zero value is nothing.
type failPoint struct {
	code      int32
	close     bool
	replyLost bool
	pause     time.Duration
}

// of returns what happens to a command.
func (f *failPoints) of(command *wirebson.Document) failPoint {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.left == 0 || !f.commands[command.Command()] {
		return failPoint{}
	}
	if f.left > 0 {
		f.left--
	}
	return f.point
}

// answer returns the error that takes the place of a command's reply, if there is one.
func (p failPoint) answer() (*wirebson.Document, error) {
	if p.close {
		return nil, errClosed
	}
	if p.code == 0 {
		return nil, nil
	}
	return refusal(p.code, fmt.Sprintf("Location%d", p.code), "Failing command via 'failCommand' failpoint"), nil
}

// configure answers the command that sets the fail point; nil: it is another command.
func (f *failPoints) configure(command *wirebson.Document) *wirebson.Document {
	if command.Command() != "configureFailPoint" {
		return nil
	}
	if err := f.set(command); err != nil {
		return refusal(9, "FailedToParse", err.Error())
	}
	return wirebson.MustDocument("ok", float64(1))
}

func (f *failPoints) set(command *wirebson.Document) error {
	var left int32
	switch mode := command.Get("mode").(type) {
	case string:
		if mode == "alwaysOn" {
			left = -1
		}
	case wirebson.AnyDocument:
		document, err := mode.Decode()
		if err != nil {
			return err
		}
		left, _ = document.Get("times").(int32)
	}
	names := map[string]bool{}
	var point failPoint
	if data, ok := command.Get("data").(wirebson.AnyDocument); ok {
		document, err := data.Decode()
		if err != nil {
			return err
		}
		if listed, ok := document.Get("failCommands").(wirebson.AnyArray); ok {
			array, err := listed.Decode()
			if err != nil {
				return err
			}
			for _, name := range array.All() {
				names[fmt.Sprint(name)] = true
			}
		}
		point.code, _ = document.Get("errorCode").(int32)
		point.close, _ = document.Get("closeConnection").(bool)
		point.replyLost, _ = document.Get("replyLost").(bool)
		if blocks, _ := document.Get("blockConnection").(bool); blocks {
			milliseconds, _ := document.Get("blockTimeMS").(int32)
			point.pause = time.Duration(milliseconds) * time.Millisecond
		}
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.left, f.commands, f.point = left, names, point
	return nil
}
