"""Every key in Redis, in one table. All begin with the prefix (`undrift:` by default); nothing else is ever touched.

key                type    meaning                                                         bound
due:<lane>:<project>:<destination>  zset  work -> due time, ms                             one entry a work, one lane
heads:<lane>       zset    project -> due time of its earliest work that may go, ms        one a project with due work
heads:<lane>:<project>  zset  destination -> the same                                      one a destination with due work
queues             set     `<lane>:<project>:<destination>` of those that hold something    one a destination with due work
running:<destination>  set  leased syncs of a cluster, look-ups of a Git host               UNDRIFT_SYNCS_PER_CLUSTER, 8
aside:<destination>  set   `<lane> <project>` with due work there, while it takes no more   one a project
shut               zset    destination that does not answer, or asked for time -> until, ms  ends by itself
served, turn       hash,   project -> the turn in which it was given work last, and the    one a project
                   string  number of turns so far
want:<work>        hash    why and how a due work is wanted                                one a due work
lease:<work>       hash    fence, state (granted, claimed) and the want that it took over  one a leased work
leases             zset    work -> end of its lease, ms                                    as above
granted            set     works granted and not claimed: what waits in the broker         2 a worker slot
fences             hash    work -> highest fence granted or met                            one a work
attempts           hash    work -> children lost in a row                                  one a work
parked             set     works that killed three children                                one a work
quarantine         zset    work -> no grant before, ms                                     ends by itself
wake               list    something changed: the scheduler need not wait longer           1
boot               string  when this Redis was first seen, ms                              1
grants-from        string  no grant at all before, ms                                      1
leader             string  token of the leading scheduler, expiring                        1
leader-last        string  token of the scheduler that led last                             1
leader-free        list    the lock was let go: a standby need not wait longer             1
look               string  somebody wants the fleet read now                               1
slots              hash    worker -> slots and when it was last heard of                   one a worker
specs              hash    spec digest -> spec                                             specs in use
instances          hash    instance -> spec digest                                         one an instance
sources            hash    instance -> its repository's look-up and ref                       one an instance
on:<cluster>       set     instances of a cluster                                          one an instance
strays:<cluster>   set     instances that a scan met on a cluster and that are not of the fleet  until they are gone
left               hash    instance -> spec digest of what left the fleet                  until deleted
teardown           set     instances that a person wants deleted                           until deleted
clusters           hash    cluster -> target                                               one a cluster
repositories       hash    look-up -> access                                               one a repository and way to it
published          string  names the fleet that was put in force last                       1
fleet              string  revision and problems of the fleet                              1
status             hash    instance -> last record, as JSON                                one an instance
memory             hash    instance -> what its next sync is given                         one an instance
judged             hash    repository and ref -> commit through which its instances were judged  one a repository and ref
open:<repo>        hash    instance that every commit concerns -> the one it was made due by   one an instance, mostly none
readers:<folder>   set     instances that read in a folder of a repository                 one or two an instance; a day
whole:<repo>       string  all of a repository's instances were looked at lately           six hours
unjudged:<repo>    hash    instance -> why the next look makes it due, whatever it finds       one an instance
waited-for         set     look-ups that have or had such instances                        one a repository and way to it
scans              hash    cluster -> last scan                                            one a cluster
fetching:<host>    zset    fetch -> when its place runs out, ms                               8 a Git host
fetched:<host>     list    a place came free: who waits for one need not wait longer         1
proven:<cluster>   hash    instance -> mark of what a scan had nothing to tell of; `places`: the kinds there  six hours
lookups            hash    repository -> last look-up                                      one a repository
approvals          hash    instance -> plan id                                             one an instance
pins               hash    cluster -> uid of the cluster that its name was first used for    one a cluster
strangers          hash    cluster -> why nothing may be written to what answers under its name  one a cluster
activated          set     clusters of `up --context` that may be written to              one a cluster
tombstones         hash    instance -> when it is deleted after it left the fleet            until deleted
leavings           zset    instance -> when it left the fleet                                  an hour
meters             hash    counters and histograms of all workers together                 one a series
kinds:<cluster>    set     kinds of objects that instances own on a cluster                 one a cluster
watched:<cluster>  string  which watcher watches a cluster, expiring                     one a cluster
watchers           zset    watcher -> when it was heard of last, s                         one a watcher
leader-clock       string  how far the leading scheduler's clock is ahead of Redis', in seconds  1
clocks-apart       hash    worker -> how far its clock is ahead, when it takes no work for that  one a worker
brakes             hash    scope -> freeze or pause in force                               one a scope
journal-outbox     list    entries that the journal is still to keep                       100,000
trash:<cluster>    string  the trash of a cluster was emptied, for a day                   one a cluster
notices            hash    notice key -> what was told of a topic, and what is to be told    10,000; none without a webhook
notice-delivery    string  how telling the webhook went lately                             1
journal-head       string  the newest commit of the journal                                1
journal-copy       hash    the newest commit of the journal's copy, or why it has none        1
journal-kept:<id>  list    an entry that somebody waits for was committed                  ten minutes
request:<id>       hash    instance -> outcome of an operator's request                    a day
done:<id>          list    instances of a request as they end                              a day
events             stream  what happened                                                   10,000
"""

from __future__ import annotations

PREFIX = "undrift:"
EVENTS_KEPT = 10_000
REQUEST_KEPT_S = 24 * 3600
