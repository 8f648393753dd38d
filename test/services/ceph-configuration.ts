import { randomBytes } from 'node:crypto'
import { join } from 'node:path'

/** The configuration file of one monitor, one OSD in memory and one gateway, which keep everything below `directory`. */
export function configuration(directory: string, clusterId: string, monitor: string, endpoint: URL): string {
  return `[global]
fsid = ${clusterId}
mon host = ${monitor}
mon initial members = a
public network = 127.0.0.0/8
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = ${join(directory, 'keyring')}
mon data = ${join(directory, 'mon')}
osd data = ${join(directory, 'osd')}
rgw data = ${join(directory, 'rgw')}
run dir = ${directory}
crash dir = ${directory}
# A socket here would cap the length of the directory's path at 107 bytes, and nobody asks them anything.
admin socket =
pid file =

# Only what is wrong, to a log of each daemon's output. Keeping more, even in memory only, costs time.
log file =
log to stderr = false
err to stderr = true
clog to monitors = false
mon cluster log to file = false
${quietSubsystems.map((name) => `debug ${name} = 0/0`).join('\n')}

# One copy of everything on the one OSD, in few placement groups.
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
# The monitor ends itself where the disk is nearly full; it needs some 50 MB.
mon data avail crit = 0

osd objectstore = memstore
# A bound, not a reservation: only what is stored is used.
memstore device bytes = 8G

# Starting: changes of the maps are agreed on at once, and requests from before the OSD was there are sent again soon
# (by default after 5 seconds each).
paxos propose interval = 0.02
paxos min wait = 0.01
mon client hunt interval = 0.2
objecter tick interval = 0.2

# Speed: nothing here leaves the machine's memory.
ms bind msgr1 = false
ms crc data = false
osd enable op tracker = false
throttler perf counter = false

rgw frontends = beast endpoint=${endpoint.host} tcp_nodelay=1
rgw thread pool size = 64
rgw enable usage log = false
rgw enable ops log = false
# Deleted objects are freed by a collector, which by default lets them lie for two hours.
rgw gc obj min wait = 10
rgw gc processor period = 5
rgw gc processor max time = 5
`
}

const quietSubsystems = [
  ...[
    'none',
    'lockdep',
    'context',
    'crush',
    'buffer',
    'timer',
    'filer',
    'striper',
    'objecter',
    'rados',
    'journaler',
  ],
  ...[
    'objectcacher',
    'client',
    'osd',
    'optracker',
    'objclass',
    'ms',
    'mon',
    'monc',
    'paxos',
    'tp',
    'auth',
    'crypto',
  ],
  ...[
    'finisher',
    'heartbeatmap',
    'perfcounter',
    'rgw',
    'rgw sync',
    'asok',
    'throttle',
    'refs',
    'rocksdb',
    'memdb',
  ],
]

/** The keyring: one key for all daemons, which are all ours. */
export function keyring(): string {
  // Type 1 (AES), creation time, length and bytes of the secret.
  const key = Buffer.alloc(12)
  key.writeUInt16LE(1, 0)
  key.writeUInt32LE(Math.floor(Date.now() / 1000), 2)
  key.writeUInt16LE(16, 10)
  const secret = Buffer.concat([key, randomBytes(16)]).toString('base64')
  const entry = (name: string, caps: Record<string, string>) =>
    [
      `[${name}]`,
      `key = ${secret}`,
      ...Object.entries(caps).map(([to, what]) => `caps ${to} = "${what}"`),
      '',
    ].join('\n')
  return [
    entry('mon.', { mon: 'allow *' }),
    entry('client.admin', { mon: 'allow *', osd: 'allow *', mgr: 'allow *' }),
    entry('client.rgw.a', { mon: 'allow *', osd: 'allow *' }),
    entry('osd.0', { mon: 'allow profile osd', osd: 'allow *' }),
  ].join('\n')
}
