package main

import (
	"bufio"
	"errors"
	"log"
	"net"
	"sync"
	"time"

	"github.com/FerretDB/wire"
	"github.com/FerretDB/wire/wirebson"
)

// errClosed ends a client's connection on purpose.
var errClosed = errors.New("the front closes the connection")

// front takes the connections of clients, each of which has one of its own to FerretDB.
type front struct {
	socket  string // where FerretDB listens
	address string // where clients find the front
	set     string // the name of the replica set, if it has one
	login   *login // nil where nobody has to log in
	points  failPoints

	turn sync.Mutex // held from a command until its reply

	mutex   sync.Mutex
	clients map[net.Conn]struct{}
}

func newFront(socket, address, set string) *front {
	return &front{socket: socket, address: address, set: set, clients: map[net.Conn]struct{}{}}
}

// serve takes connections until the process ends.
func (f *front) serve(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		f.mutex.Lock()
		f.clients[client] = struct{}{}
		f.mutex.Unlock()
		go func() {
			_ = f.relay(client) // it ends with a connection, on either side
			f.mutex.Lock()
			delete(f.clients, client)
			f.mutex.Unlock()
			_ = client.Close()
		}()
	}
}

// hangUp closes every client's connection.
func (f *front) hangUp() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for client := range f.clients {
		_ = client.Close()
	}
}

// relay hands the commands of a client to FerretDB, and the replies back.
func (f *front) relay(client net.Conn) error {
	ferret, err := net.Dial("unix", f.socket)
	if err != nil {
		return err
	}
	defer ferret.Close()
	fromClient, toClient := bufio.NewReader(client), bufio.NewWriter(client)
	fromFerret, toFerret := bufio.NewReader(ferret), bufio.NewWriter(ferret)
	visitor := f.login.visitor()

	for {
		header, body, err := wire.ReadMessage(fromClient)
		if err != nil {
			return err
		}
		command, err := commandOf(body)
		if err != nil {
			return err
		}
		point := f.points.of(command)
		time.Sleep(point.pause)
		answer := f.points.configure(command)
		if answer == nil {
			answer, err = point.answer()
		}
		if answer == nil && err == nil {
			answer, err = visitor.answer(command)
		}
		if err != nil {
			return err
		}
		if answer != nil {
			if header, body, err = reply(header, answer); err != nil {
				return err
			}
		} else if header, body, err = f.ask(header, body, toFerret, fromFerret); err != nil || point.replyLost {
			return err
		} else if body == nil {
			continue
		} else if header, body, err = f.introduce(command, header, body); err != nil {
			return err
		}
		if err := write(toClient, header, body); err != nil {
			return err
		}
	}
}

// ask has FerretDB do one command while no other is under way. A body of nil: the client wants no reply.
func (f *front) ask(
	header *wire.MsgHeader, body wire.MsgBody, to *bufio.Writer, from *bufio.Reader,
) (*wire.MsgHeader, wire.MsgBody, error) {
	f.turn.Lock()
	defer f.turn.Unlock()
	if err := write(to, header, body); err != nil {
		return nil, nil, err
	}
	replyHeader, reply, err := wire.ReadMessage(from)
	if message, ok := body.(*wire.OpMsg); ok && message.Flags.FlagSet(wire.OpMsgMoreToCome) {
		return nil, nil, err // FerretDB replies to it nonetheless
	}
	return replyHeader, reply, err
}

// introduce puts into the reply to a hello what FerretDB does not say of itself: the replica set, and how to log in.
func (f *front) introduce(
	command *wirebson.Document, header *wire.MsgHeader, body wire.MsgBody,
) (*wire.MsgHeader, wire.MsgBody, error) {
	if !isHello(command) || f.set == "" && f.login == nil {
		return header, body, nil
	}
	hello, err := documentOf(body)
	if err != nil {
		return nil, nil, err
	}
	if f.set != "" {
		for name, value := range map[string]any{
			"setName": f.set, "setVersion": int32(1), "secondary": false, "hosts": wirebson.MustArray(f.address),
			"primary": f.address, "me": f.address,
		} {
			hello.Remove(name)
			if err := hello.Add(name, value); err != nil {
				return nil, nil, err
			}
		}
	}
	if f.login != nil && command.Get("saslSupportedMechs") != nil {
		hello.Remove("saslSupportedMechs")
		if err := hello.Add("saslSupportedMechs", wirebson.MustArray(mechanism)); err != nil {
			return nil, nil, err
		}
	}
	asked := *header
	asked.RequestID, asked.ResponseTo = header.ResponseTo, 0
	return reply(&asked, hello)
}

// commandOf returns the command of a message; its first name is what it is called.
func commandOf(body wire.MsgBody) (*wirebson.Document, error) {
	switch body := body.(type) {
	case *wire.OpMsg:
		return body.RawSection0().Decode()
	case *wire.OpQuery:
		return body.Query(), nil
	}
	return nil, errors.New("not a command")
}

// documentOf returns the document of a reply.
func documentOf(body wire.MsgBody) (*wirebson.Document, error) {
	switch body := body.(type) {
	case *wire.OpMsg:
		return body.RawSection0().Decode()
	case *wire.OpReply:
		return body.Document()
	}
	return nil, errors.New("not a reply")
}

func isHello(command *wirebson.Document) bool {
	switch command.Command() {
	case "hello", "isMaster", "ismaster":
		return true
	}
	return false
}

// reply makes the reply to a request, of the kind that belongs to its own.
func reply(request *wire.MsgHeader, document *wirebson.Document) (*wire.MsgHeader, wire.MsgBody, error) {
	header := &wire.MsgHeader{RequestID: request.RequestID, ResponseTo: request.RequestID, OpCode: wire.OpCodeMsg}
	var body wire.MsgBody
	var err error
	if request.OpCode == wire.OpCodeMsg {
		body, err = wire.NewOpMsg(document)
	} else {
		header.OpCode = wire.OpCodeReply
		body, err = wire.NewOpReply(document)
	}
	if err != nil {
		return nil, nil, err
	}
	encoded, err := body.MarshalBinary()
	if err != nil {
		return nil, nil, err
	}
	header.MessageLength = int32(wire.MsgHeaderLen + len(encoded))
	return header, body, nil
}

// refusal is the reply of a command that failed.
func refusal(code int32, name, message string) *wirebson.Document {
	return wirebson.MustDocument("ok", float64(0), "errmsg", message, "code", code, "codeName", name)
}

func write(to *bufio.Writer, header *wire.MsgHeader, body wire.MsgBody) error {
	if err := wire.WriteMessage(to, header, body); err != nil {
		return err
	}
	return to.Flush()
}
