"""`python -m cifar_exp` is `cifar-exp`."""

from cifar_exp.cli import main

if __name__ == "__main__":
    main()
