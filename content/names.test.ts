import { describe, expect, it } from 'vitest'
import { dangerousExtension } from './names.ts'

describe('a name that a program is run by', () => {
  it.each([
    ['holiday.mp4.exe', 'exe'],
    ['holiday.mp4.EXE', 'exe'],
    ['holiday.exe', 'exe'],
    ['holiday.mp4.exe.', 'exe'],
    ['holiday.mp4.exe . .', 'exe'],
    ['holiday.mp4.com', 'com'],
    ['x.php.jpg', 'php'],
    ['x.PHP5.jpg', 'php5'],
    ['x.phtml .jpg', 'phtml'],
    ['x.jpg.php', 'php'],
    ['x.asp;.jpg', 'asp'],
    ['x.svg', 'svg'],
    ['x.jpg.html', 'html'],
    ['x.jar', 'jar'],
  ])('%j', (name, danger) => {
    expect(dangerousExtension(name)).toBe(danger)
  })
})

describe('a name that is harmless', () => {
  it.each([
    ...[
      'holiday.mp4',
      'holiday',
      'my.holiday.2024.mp4',
      'www.example.com',
      'www.example.com.mp4',
      'film.wp.pl.mp4',
    ],
    ...[
      'v1.2.3.mov',
      'node.js.mp4',
      'ASP.NET in an hour.mp4',
      'php.mp4',
      'php 8.jpg',
      'a.jpg.',
      'a.jpg ',
      '.mp4',
    ],
    ...['photo.jpg.png', 'a.b.c.d', 'setup.exe in a minute.mp4', '…', 'страница.mp4', 'x.jpeg~'],
  ])('%j', (name) => {
    expect(dangerousExtension(name)).toBeUndefined()
  })
})
