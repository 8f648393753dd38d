import { type LookupAddress, lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'

/** A request to an address that is not public was refused. */
export class AddressRefused extends Error {
  constructor() {
    super('the address is not a public one')
    this.name = 'AddressRefused'
  }
}

const notPublic = new BlockList()
// IANA's registries of special-purpose addresses, multicast and reserved ranges.
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const) {
  notPublic.addSubnet(network, prefix, 'ipv4')
}
// Only 2000::/3 is assigned, without these ranges: tunnels lead to any IPv4 address.
for (const [network, prefix] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const) {
  notPublic.addSubnet(network, prefix, 'ipv6')
}
const global = new BlockList()
global.addSubnet('2000::', 3, 'ipv6')

/** Whether an IP address is globally reachable. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !notPublic.check(address, 'ipv4')
    case 6:
      // An address with a zone is link-local.
      return !address.includes('%') && global.check(address, 'ipv6') && !notPublic.check(address, 'ipv6')
    default:
      return false
  }
}

type Resolve = (
  hostname: string,
  options: { all: true; family: 0 | 4 | 6 },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void

/**
 * Looks a name up once, for a socket that connects to exactly the checked addresses: a later change of the name has no
 * effect. Fails with `AddressRefused` when one of them is not public.
 */
export function publicLookup(resolve: Resolve = lookup): LookupFunction {
  return function lookUpPublic(hostname, { family, all }, callback) {
    const wanted = family === 4 || family === 'IPv4' ? 4 : family === 6 || family === 'IPv6' ? 6 : 0
    resolve(hostname, { all: true, family: wanted }, (error, addresses) => {
      const [first] = addresses ?? []
      if (error || !first) return callback(error ?? new Error('the name has no address'), '', 0)
      if (!addresses.every(({ address }) => isPublicAddress(address)))
        return callback(new AddressRefused(), '', 0)
      if (all) callback(null, addresses)
      else callback(null, first.address, first.family)
    })
  }
}

/** Refuses an IP address in a URL, which is connected to without a lookup. */
export function refusePrivateLiteral({ hostname }: URL): void {
  const literal = hostname.replace(/^\[|\]$/g, '')
  if (isIP(literal) !== 0 && !isPublicAddress(literal)) throw new AddressRefused()
}
