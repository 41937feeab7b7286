package simulation_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
)

// errStatement is the error of a statement that the simulation fails.
var errStatement = errors.New("the database fails at this statement")

// database is the driver of one node. It fails statements, and freezes or dies with its node.
type database struct {
	driver.Driver
	node *process
}

// Open implements driver.Driver.
func (d database) Open(name string) (driver.Conn, error) {
	if err := d.node.pass(context.Background()); err != nil {
		return nil, err
	}
	c, err := d.Driver.Open(name)
	if err != nil {
		return nil, err
	}
	return &conn{sqlite: c.(sqlite), node: d.node, statements: map[string]statement{}}, nil
}

// sqlite is a connection of the driver of SQLite.
type sqlite interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
}

type conn struct {
	sqlite
	node   *process
	inTx   bool   // a frozen transaction would block all nodes
	joins  bool   // the transaction takes the name of the node
	writes string // its last statement that changes anything but the queue, whose rows are only a wake-up
	// statements are those that are prepared and not in use. Parsing takes longer than running them.
	statements map[string]statement
}

// statement is a prepared statement of SQLite.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// prepared takes a prepared statement, and returns a function that gives it back.
func (c *conn) prepared(ctx context.Context, query string) (s statement, done func() error, err error) {
	if s, ok := c.statements[query]; ok {
		delete(c.statements, query)
		return s, func() error { c.statements[query] = s; return nil }, nil
	}
	p, err := c.sqlite.PrepareContext(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	s = p.(statement)
	return s, func() error {
		if _, ok := c.statements[query]; ok {
			return s.Close()
		}
		c.statements[query] = s
		return nil
	}, nil
}

// Close implements driver.Conn.
func (c *conn) Close() error {
	var errs []error
	for _, s := range c.statements {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.sqlite.Close())...)
}

// result is the rows of a prepared statement, which Close gives back.
type result struct {
	driver.Rows
	done func() error
}

func (r *result) Close() error { return errors.Join(r.Rows.Close(), r.done()) }

// before returns the error of a statement that fails. It waits while the node is frozen.
func (c *conn) before(ctx context.Context) error {
	if !c.inTx {
		if err := c.node.pass(ctx); err != nil {
			return err
		}
	}
	if c.node.gone() {
		return errGone
	}
	if c.node.statementFails() {
		return errStatement
	}
	return nil
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.before(ctx); err != nil {
		return nil, err
	}
	c.joins = c.joins || strings.HasPrefix(query, "UPDATE node SET instance = $2")
	s, done, err := c.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	r, err := s.ExecContext(ctx, args)
	if err := errors.Join(err, done()); err != nil {
		return nil, err
	}
	if rows, err := r.RowsAffected(); err == nil && rows > 0 && !strings.Contains(query, "river_job") {
		c.writes = query
	}
	c.changed(query)
	return r, nil
}

// changed notes that the queue may have changed, unless a transaction is yet to be committed.
func (c *conn) changed(query string) {
	if !c.inTx && strings.Contains(query, "river_job") && !strings.HasPrefix(query, "SELECT") {
		c.node.changes.Add(1)
	}
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.before(ctx); err != nil {
		return nil, err
	}
	s, done, err := c.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		return nil, errors.Join(err, done())
	}
	return &result{rows, func() error { c.changed(query); return done() }}, nil
}

// PrepareContext implements driver.ConnPrepareContext.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := c.before(ctx); err != nil {
		return nil, err
	}
	return c.sqlite.PrepareContext(ctx, query)
}

// BeginTx implements driver.ConnBeginTx.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if err := c.before(ctx); err != nil {
		return nil, err
	}
	tx, err := c.sqlite.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	c.inTx, c.joins, c.writes = true, false, ""
	return &transaction{tx, c}, nil
}

// fenced checks, before a commit, that no other node has taken the place of this one since it took its name.
func (c *conn) fenced() {
	if c.writes == "" || c.node.gone() {
		return
	}
	rows, err := c.sqlite.QueryContext(context.Background(), "SELECT generation FROM node WHERE id = ?1",
		[]driver.NamedValue{{Ordinal: 1, Value: c.node.name}})
	if err != nil {
		return // the transaction is over
	}
	defer rows.Close()
	value := make([]driver.Value, 1)
	if rows.Next(value) != nil {
		return // nodes that do not share a database have no rows
	}
	generation, _ := value[0].(int64)
	c.node.mu.Lock()
	known := c.node.generation
	if c.joins {
		c.node.generation = generation
	}
	c.node.mu.Unlock()
	if !c.joins && known != 0 && known != generation {
		c.node.wrong("%s writes, and another node has taken its place: %s", c.node.name, c.writes)
	}
}

type transaction struct {
	driver.Tx
	conn *conn
}

// Commit implements driver.Tx. A commit that fails may have been done.
func (t *transaction) Commit() error {
	t.conn.inTx = false
	t.conn.fenced()
	switch {
	case t.conn.node.gone():
		return errors.Join(errGone, t.Tx.Rollback())
	case !t.conn.node.statementFails():
		return t.commit()
	case t.conn.node.chance(0.5):
		return errors.Join(errStatement, t.commit())
	}
	return errors.Join(errStatement, t.Tx.Rollback())
}

func (t *transaction) commit() error {
	defer t.conn.node.changes.Add(1)
	return t.Tx.Commit()
}

// Rollback implements driver.Tx.
func (t *transaction) Rollback() error {
	t.conn.inTx = false
	return t.Tx.Rollback()
}
