
def test_x(stack, visit, words):
    for n in ("explore","launch","runs","shares","settings","run"):
        t = visit(n)
        print(n, words(t)[:1500])
    r = stack.succeeded("snn"); c=stack.succeeded("cnn")
    for n in ("explore","launch","runs"):
        t = visit(n)
        print(n, words(t)[:1500])
    t = visit("run", run=r.id)
    print(words(t)[:3000])
    print(t)
    assert 0
