import { describe, expect, it } from 'vitest'
import { AddressRefused, isPublicAddress, publicLookup, refusePrivateLiteral } from './addresses.ts'

describe('an address', () => {
  it.each([
    '1.1.1.1',
    '9.255.255.255',
    '100.63.255.255',
    '100.128.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.169.0.0',
    '223.255.255.255',
    '2606:4700:4700::1111',
    '2a00:1450:4001:829::200e',
    '2001:4860:4860::8888',
  ])('%s is public', (address) => expect(isPublicAddress(address)).toBe(true))

  it.each([
    '0.0.0.0',
    '0.1.2.3',
    '10.0.0.1',
    '100.64.0.1',
    '100.127.255.255',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.8',
    '192.0.2.1',
    '192.168.1.1',
    '198.18.0.1',
    '198.19.255.255',
    '198.51.100.1',
    '203.0.113.1',
    '224.0.0.1',
    '239.255.255.255',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::7f00:1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::ffff:10.0.0.1',
    '::ffff:1.1.1.1',
    '64:ff9b::7f00:1',
    '64:ff9b:1::1',
    '100::1',
    '2001::1',
    '2001:db8::1',
    '2002:7f00:1::',
    '3fff::1',
    '5f00::1',
    'fc00::1',
    'fd12:3456::1',
    'fe80::1',
    'fe80::1%eth0',
    '2606:4700::1%eth0',
    'fec0::1',
    'ff02::1',
    '',
    'localhost',
    '127.1',
  ])('"%s" is not', (address) => expect(isPublicAddress(address)).toBe(false))
})

describe('an address in a URL', () => {
  it.each([
    'http://127.0.0.1/',
    'http://127.1/',
    'http://2130706433/',
    'http://0x7f000001/',
    'http://0177.0.0.1/',
    'http://[::1]:8080/',
    'http://[::ffff:127.0.0.1]/',
    'http://10.1.2.3/',
  ])('%s is refused', (url) => expect(() => refusePrivateLiteral(new URL(url))).toThrow(AddressRefused))

  it.each(['http://1.1.1.1/', 'http://[2606:4700::1]/', 'https://hooks.example/'])('%s is not', (url) =>
    refusePrivateLiteral(new URL(url)),
  )
})

describe('a lookup', () => {
  const PUBLIC = { address: '1.1.1.1', family: 4 }
  const PRIVATE = { address: '127.0.0.1', family: 4 }

  async function lookUp(answers: { address: string; family: number }[][], all: boolean) {
    let asked = 0
    const look = publicLookup((_name, _options, callback) => callback(null, answers[asked++] ?? []))
    const { promise, resolve } = Promise.withResolvers<unknown[]>()
    look('hooks.example', { all }, (...given) => resolve(given))
    return { given: await promise, asked }
  }

  it('gives the socket what was checked, and asks once: a name that changes its mind is not asked again', async () => {
    expect(await lookUp([[PUBLIC], [PRIVATE]], true)).toEqual({ given: [null, [PUBLIC]], asked: 1 })
    expect(await lookUp([[PUBLIC], [PRIVATE]], false)).toEqual({ given: [null, '1.1.1.1', 4], asked: 1 })
  })

  it.each([true, false])('refuses a name with one address that is not public (all: %s)', async (all) => {
    const { given } = await lookUp([[PUBLIC, PRIVATE]], all)
    expect(given[0]).toBeInstanceOf(AddressRefused)
  })

  it('fails for a name without an address', async () => {
    expect((await lookUp([[]], true)).given[0]).toBeInstanceOf(Error)
  })
})
